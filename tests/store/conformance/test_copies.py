"""Copies, and what was lost with an older one: what every store promises of them."""

import os
import shutil
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from store_samples import FULL, an_entry, append, insert, listed, numbered

from mcp_hitl.domain.evidence.chain import genesis
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

pytestmark = pytest.mark.anyio

OPEN_COPY: dict[str, Callable[[Path], Store]] = {"sqlite": SqliteStore}
"""How a file that `back_up` wrote is opened, by store."""
PUT_BACK: dict[str, Callable[[Path, Path], object]] = {"sqlite": lambda copy, at: shutil.copy(copy, at / "hitl.db")}
"""How such a file is put in the place of the test's own database, which nobody has open, behind the store's back."""


@pytest.fixture
async def copy(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> AsyncGenerator[Store]:
    """A copy of a database with an approval and an entry, open; the original has more since."""
    await insert(store, FULL)
    await append(store, an_entry(FULL))
    assert await store.back_up(tmp_path / "copy") == await store.read(lambda view: view.log.head())
    await insert(store, numbered(2))
    await append(store, an_entry(numbered(2)))
    copy = OPEN_COPY[request.node.callspec.params["open_store"]](tmp_path / "copy")
    yield copy
    await copy.close()


def lost(view: View) -> tuple[int, str] | None:
    return view.log.lost()


def restored(view: View) -> int | None:
    return view.facts.restored()


async def test_a_copy_has_what_there_was_when_it_was_made(store: Store, copy: Store) -> None:
    assert await copy.read(lambda view: view.approvals.get(FULL.id)) == FULL
    assert await listed(copy) == []  # FULL has ended
    assert await store.read(lambda view: view.log.last_seq()) == 2
    entries = await copy.read(lambda view: view.log.chain(0, 10))
    assert [one.entry for one in entries] == [an_entry(FULL)]
    database = await store.read(lambda view: view.facts.database_id())
    assert entries[0].previous == genesis(database) == genesis(await copy.read(lambda v: v.facts.database_id()))
    assert await copy.read(lost) is None


async def test_a_copy_lives_a_life_of_its_own(store: Store, copy: Store) -> None:
    await insert(copy, numbered(7))
    await append(copy, an_entry(numbered(7)))
    assert await copy.read(lambda view: view.log.last_seq()) == 2
    assert await listed(store) == [numbered(2).id] and await listed(copy) == [numbered(7).id]


async def test_a_copy_is_its_owners_alone_and_overwrites_nothing(store: Store, tmp_path: Path) -> None:
    await store.back_up(tmp_path / "copy")
    assert os.name != "posix" or (await anyio.Path(tmp_path / "copy").stat()).st_mode & 0o077 == 0
    before = await anyio.Path(tmp_path / "copy").read_bytes()
    for place in (tmp_path / "copy", tmp_path / "no folder" / "copy", tmp_path):
        with pytest.raises(Invalid, match="Name a file that does not exist yet"):
            await store.back_up(place)
    assert await anyio.Path(tmp_path / "copy").read_bytes() == before
    assert [name for name in os.listdir(tmp_path) if "copy" in name] == ["copy"]


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


async def test_what_an_older_copy_lacks_is_lost_until_that_is_accepted(
    request: pytest.FixtureRequest, open_store: Callable[[], Store], tmp_path: Path
) -> None:
    first = open_store()
    await append(first, an_entry(numbered(1)))
    await first.back_up(tmp_path / "copy")
    await append(first, an_entry(numbered(2)), an_entry(numbered(3)))
    head = await first.read(lambda view: view.log.head())
    await first.close()
    put_back = PUT_BACK[request.node.callspec.params["open_store"]]
    await anyio.to_thread.run_sync(put_back, tmp_path / "copy", tmp_path)
    stores = [open_store(), open_store()]
    for number in range(10, 14):  # also when there are more entries again than there were
        for one in stores:
            assert await one.read(lost) == await one.write(lost) == head
            assert await one.survey(lost) == head
        await append(stores[number % 2], an_entry(numbered(number)))
    await stores[0].write(lambda tx: (tx.log.append(an_entry(numbered(20))), tx.log.accept_loss()))
    for one in stores:
        assert await one.read(lost) is None
        await append(one, an_entry(numbered(21)))
        await one.close()


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
