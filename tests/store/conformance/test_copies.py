"""What was lost with an older copy: what every store promises of it."""

from collections.abc import Callable

import pytest
from store_samples import an_entry, append, numbered

from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

pytestmark = pytest.mark.anyio


def lost(view: View) -> tuple[int, str] | None:
    return view.log.lost()


def restored(view: View) -> int | None:
    return view.facts.restored()


async def test_nothing_is_lost_where_nothing_was_put_back(store: Store, other: Store) -> None:
    assert await store.read(lost) is None
    for number in range(4):
        await append(store if number % 2 else other, an_entry(numbered(number)))
        for one in (store, other):
            assert await one.read(lost) is None and await one.write(lost) is None


async def test_nothing_is_lost_when_a_change_was_undone(store: Store) -> None:
    await append(store, an_entry(numbered(1)))

    def fail(tx: Transaction) -> None:
        tx.log.append(an_entry(numbered(2)))
        assert tx.log.lost() is None
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        await store.write(fail)
    assert await store.read(lost) is None


@pytest.mark.parametrize("known", [0, 1, 4_711])
async def test_what_was_put_back_is_kept_until_it_is_confirmed(
    store: Store, other: Store, open_store: Callable[[], Store], known: int
) -> None:
    assert await store.read(restored) is None
    await store.write(lambda tx: tx.facts.set_restored(known))
    again = open_store()
    for one in (store, other, again):
        assert await one.read(restored) == known and await one.write(restored) == known

    def confirm(tx: Transaction) -> None:
        tx.facts.set_restored(None)
        tx.log.accept_loss()

    await other.write(confirm)
    for one in (store, other, again):
        assert await one.read(restored) is None and await one.read(lost) is None
    await again.close()
