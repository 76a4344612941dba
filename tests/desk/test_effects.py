"""What the built-in kinds do in the transaction that approves, their tables, and programs that lack them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from desk_samples import AGENT, ANA, LUNCH, RULEBOOK, Clock, WatchedStore, said, say

from mcp_hitl.desk import Desk
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.policy.kinds import ACTION, COUNTER
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.errors import Invalid, Unavailable
from mcp_hitl.flows import counter
from mcp_hitl.flows.expense_table import add_expense, expenses

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]


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


WITHOUT_THE_KIND = Rulebook(kinds={"action": ACTION})
APPROVING = replace(COUNTER, rules=(Rule(name="always", when={}, decide=Verdict.APPROVE),))
BY_RULE = Rulebook(kinds={"counter": APPROVING})


@pytest.fixture
async def lacking(store: WatchedStore, clock: Clock) -> Desk:
    """The desk of a program that has neither the effects nor the tables."""
    return Desk(store, effects=Effects(), rulebook=RULEBOOK, clock=clock)


async def state_of(desk: Desk) -> Sequence[object]:
    """The newest entry of the log, the counter, and what is pending."""
    pending = (await desk.search.pending(AGENT)).approvals
    return await desk.evidence.head(), await desk.read(counter.value_of), pending


@pytest.mark.parametrize("rulebook", [RULEBOOK, WITHOUT_THE_KIND], ids=["the kind", "not even the kind"])
async def test_a_program_without_the_effect_does_not_approve_whatever_its_policy_says(
    desk: Desk, lacking: Desk, rulebook: Rulebook
) -> None:
    opened = await desk.approvals.submit(AGENT, "counter", {})
    lacking.rulebook = rulebook
    before = await state_of(desk)
    with pytest.raises(Unavailable, match=r"cannot approve one\. Nothing was changed\. Approve it with mcp-hitl\."):
        await say(lacking, said(ANA, opened, answer={"amount": 5}))
    assert await state_of(desk) == before

    approved = await say(desk, said(ANA, opened, answer={"amount": 5}))
    assert (approved.status, approved.outcome.result) == (Status.APPROVED, {"counter": 5, "increased_by": 5})
    assert await desk.read(counter.value_of) == 5


async def test_a_program_without_the_effect_can_still_reject(desk: Desk, lacking: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "counter", {})
    rejected = await say(lacking, said(ANA, opened, Verdict.REJECT))
    assert (rejected.status, rejected.outcome.state) == (Status.REJECTED, OutcomeState.NONE)


async def test_a_rule_does_not_approve_where_the_effect_is_missing(desk: Desk, lacking: Desk) -> None:
    lacking.rulebook = BY_RULE
    before = await state_of(desk)
    with pytest.raises(Unavailable, match="cannot approve one"):
        await lacking.approvals.submit(AGENT, "counter", {})
    assert await state_of(desk) == before


async def test_a_rule_cannot_approve_a_counter_since_it_enters_no_number(desk: Desk) -> None:
    desk.rulebook = BY_RULE
    before = await state_of(desk)
    with pytest.raises(Invalid, match="no rule can approve it"):
        await desk.approvals.submit(AGENT, "counter", {})
    assert await state_of(desk) == before


async def test_a_program_that_does_not_know_a_table_does_not_call_the_evidence_intact(
    desk: Desk, lacking: Desk, store: WatchedStore
) -> None:
    paid = await desk.approvals.submit(AGENT, "expense", LUNCH)
    assert (await desk.evidence.verify()).wrong is None
    assert (await lacking.evidence.verify()).wrong == "this program cannot check the tables of expense"

    await store.write(lambda tx: add_expense(tx, paid.id, Decimal(1), LUNCH))
    assert "pending" in str((await desk.evidence.verify()).wrong)
    assert "cannot check" in str((await lacking.evidence.verify()).wrong)


async def test_a_program_that_does_not_know_a_table_erases_nothing(desk: Desk, lacking: Desk, clock: Clock) -> None:
    asked = await desk.approvals.submit(AGENT, "expense", LUNCH)
    await say(desk, said(ANA, asked, Verdict.REJECT))
    clock.advance(timedelta(days=2))
    before = await state_of(desk)
    with pytest.raises(Unavailable, match=r"keep contents: expense\. Nothing was erased\."):
        await lacking.evidence.erase(ANA, older_than=timedelta(days=1))
    assert await state_of(desk) == before
    assert (await desk.approvals.get(AGENT, asked.id)).payload == LUNCH


async def test_an_effect_that_other_programs_would_not_miss_is_refused() -> None:
    with pytest.raises(ValueError, match=r"WITH_EFFECT or WITH_TABLE .*\['action'\]"):
        Effects(on_approval={"action": lambda tx, approval: {}})
