"""A database that is moved, deleted or replaced while it is open: nobody is told what was written to it."""

import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import anyio
import pytest
from samples import an_approval

from mcp_hitl.domain.values.errors import Unavailable, Uncertain
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio
if sys.platform == "win32":
    pytest.skip("Windows does not let anybody move a file that is open", allow_module_level=True)

MOVED = r"was moved, deleted or replaced while it was open"


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def renamed(path: Path) -> None:
    path.rename(beside(path, ".old"))


def replaced(path: Path) -> None:
    shutil.copy(path, beside(path, ".new"))
    beside(path, ".new").replace(path)


def folder_renamed(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def log_replaced(path: Path) -> None:
    replaced(beside(path, "-wal"))


ATTACKS: dict[str, Callable[[Path], None]] = {
    "deleted": Path.unlink,
    "renamed": renamed,
    "replaced": replaced,
    "its folder renamed": folder_renamed,
    "its log deleted": lambda path: beside(path, "-wal").unlink(),
    "its log replaced": log_replaced,
    "its index deleted": lambda path: beside(path, "-shm").unlink(),
}
attacked = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[SqliteStore]:
    """An open store in a folder of its own."""
    store = SqliteStore(tmp_path / "folder" / "hitl.db")
    yield store
    await store.close()


@attacked
async def test_t43_a_store_whose_files_are_gone_writes_and_reads_nothing(
    store: SqliteStore, attack: Callable[[Path], None]
) -> None:
    await store.write(lambda tx: tx.approvals.insert(an_approval()))
    assert store.gone() is None
    attack(store.path)
    ran = list[Transaction]()
    with pytest.raises(Unavailable, match=MOVED) as refused:
        await store.write(ran.append)
    assert "othing was changed" in str(refused.value) and not ran
    with pytest.raises(Unavailable, match=MOVED):
        await store.read(lambda view: view.approvals.get(an_approval().id))
    with pytest.raises(Unavailable, match=MOVED):
        await store.survey(lambda view: view.approvals.get(an_approval().id))
    with pytest.raises(Unavailable, match=MOVED), anyio.fail_after(1):
        while True:  # the first time, it tells of the change made above
            await store.changed()
    assert not await store.scrub()
    assert store.gone() is not None


@attacked
async def test_t43_a_caller_whose_change_went_with_the_files_hears_that_it_is_uncertain(
    store: SqliteStore, attack: Callable[[Path], None]
) -> None:
    def work(tx: Transaction) -> None:
        tx.approvals.insert(an_approval())
        attack(store.path)

    with pytest.raises(Uncertain, match=MOVED):
        await store.write(work)


async def test_t43_a_file_that_is_put_back_is_used_again(store: SqliteStore) -> None:
    await store.write(lambda tx: tx.approvals.insert(an_approval()))
    away = beside(store.path, ".away")
    store.path.rename(away)
    with pytest.raises(Unavailable, match=MOVED):
        await store.read(lambda view: view.log.last_seq())
    away.rename(store.path)
    assert await store.read(lambda view: view.approvals.get(an_approval().id)) == an_approval()


async def test_t43_a_symlink_to_a_database_is_the_same_database(store: SqliteStore, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(store.path)
    await store.write(lambda tx: tx.approvals.insert(an_approval()))
    through = SqliteStore(link)
    assert await through.read(lambda view: view.approvals.get(an_approval().id)) == an_approval()
    assert through.shared_key() == store.shared_key()
    assert store.hold("inbox") and not through.hold("inbox") and through.is_held("inbox")
    assert sorted(os.listdir(tmp_path)) == ["folder", "link.db"]
    link.unlink()
    link.symlink_to(tmp_path / "other.db")
    await SqliteStore(tmp_path / "other.db").close()
    with pytest.raises(Unavailable, match=MOVED):
        await through.write(lambda tx: None)
    await through.close()


async def test_t43_a_database_with_two_names_is_refused(store: SqliteStore, tmp_path: Path) -> None:
    os.link(store.path, tmp_path / "second.db")
    for name in (store.path, tmp_path / "second.db"):
        with pytest.raises(Unavailable, match=r"has a second name \(a hard link\)"):
            SqliteStore(name)
    (tmp_path / "second.db").unlink()
    await SqliteStore(store.path).close()
