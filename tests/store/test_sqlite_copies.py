"""Copies of a file, and what was lost with an older one."""

import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from store_samples import FULL, an_entry, append, insert, listed, numbered

from mcp_hitl.config import Location
from mcp_hitl.domain.evidence.chain import genesis
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.store.opening import back_up
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.store import Store
from mcp_hitl.store.view import View

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[SqliteStore]:
    """The test's own database, open."""
    store = SqliteStore(tmp_path / "hitl.db")
    yield store
    await store.close()


@pytest.fixture
async def copy(store: SqliteStore, tmp_path: Path) -> AsyncGenerator[Store]:
    """A copy of a database with an approval and an entry, open; the original has more since."""
    await insert(store, FULL)
    await append(store, an_entry(FULL))
    assert await copied(store, tmp_path / "copy") == await store.read(lambda view: view.log.head())
    await insert(store, numbered(2))
    await append(store, an_entry(numbered(2)))
    copy = SqliteStore(tmp_path / "copy")
    yield copy
    await copy.close()


def lost(view: View) -> tuple[int, str] | None:
    return view.log.lost()


async def copied(store: SqliteStore, file: Path) -> tuple[int, str]:
    return await anyio.to_thread.run_sync(back_up, Location(str(store.path)), file)


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


async def test_a_copy_is_its_owners_alone_and_overwrites_nothing(store: SqliteStore, tmp_path: Path) -> None:
    await copied(store, tmp_path / "copy")
    assert os.name != "posix" or (await anyio.Path(tmp_path / "copy").stat()).st_mode & 0o077 == 0
    before = await anyio.Path(tmp_path / "copy").read_bytes()
    for place in (tmp_path / "copy", tmp_path / "no folder" / "copy", tmp_path):
        with pytest.raises(Invalid, match="Name a file that does not exist yet"):
            await copied(store, place)
    assert await anyio.Path(tmp_path / "copy").read_bytes() == before
    assert [name for name in os.listdir(tmp_path) if "copy" in name] == ["copy"]


async def test_what_an_older_copy_lacks_is_lost_until_that_is_accepted(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "hitl.db")
    await append(first, an_entry(numbered(1)))
    await copied(first, tmp_path / "copy")
    await append(first, an_entry(numbered(2)), an_entry(numbered(3)))
    head = await first.read(lambda view: view.log.head())
    await first.close()
    await anyio.to_thread.run_sync(shutil.copy, tmp_path / "copy", tmp_path / "hitl.db")
    stores = [SqliteStore(tmp_path / "hitl.db"), SqliteStore(tmp_path / "hitl.db")]
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
