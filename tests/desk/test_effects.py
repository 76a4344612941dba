"""The tables of the built-in kinds: the counter and the expenses."""

from decimal import Decimal

import pytest
from desk_samples import AGENT, LUNCH, WatchedStore

from mcp_hitl.desk import Desk
from mcp_hitl.flows import counter
from mcp_hitl.flows.expense_table import add_expense, expenses

pytestmark = pytest.mark.anyio


async def test_the_counter_begins_at_nothing_and_adds_exactly(store: WatchedStore) -> None:
    assert await store.read(counter.value_of) == 0
    stands = [await store.write(lambda tx, a=amount: counter.add(tx, Decimal(a))) for amount in ("0.1", "0.2")]
    assert stands == [Decimal("0.1"), Decimal("0.3")]
    tiny, with_tiny = Decimal("1e-40"), "0.3000000000000000000000000000000000000001"
    assert await store.write(lambda tx: counter.add(tx, tiny)) == Decimal(with_tiny)
    assert await store.write(lambda tx: counter.add(tx, Decimal("-" + with_tiny))) == 0
    assert await store.read(counter.value_of) == 0


async def test_an_expense_is_recorded_once_for_its_approval(desk: Desk, store: WatchedStore) -> None:
    one, two = [
        (await desk.approvals.submit(AGENT, "expense", {**LUNCH, "amount": amount})).id for amount in (49.99, 5)
    ]
    await store.write(lambda tx: add_expense(tx, one, Decimal("49.99"), LUNCH))
    await store.write(lambda tx: add_expense(tx, two, Decimal(5), {**LUNCH, "category": "meals"}))
    with pytest.raises(Exception, match="expenses"):
        await store.write(lambda tx: add_expense(tx, one, Decimal(1), LUNCH))
    assert await store.read(expenses) == {
        one: {"amount": "49.99", "currency": "USD", "description": "Lunch", "category": None},
        two: {"amount": "5", "currency": "USD", "description": "Lunch", "category": "meals"},
    }
