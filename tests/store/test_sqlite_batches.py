"""One writer for each process: what queued up commits together, and nobody hears before the commit."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from samples import START, an_approval

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store import batches
from mcp_hitl.store.batches import MOST_TOGETHER
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

pytestmark = pytest.mark.anyio

Job = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[SqliteStore]:
    """An open store on a fresh file."""
    store = SqliteStore(tmp_path / "hitl.db")
    yield store
    await store.close()


def attack(store: SqliteStore, script: str) -> None:
    """Do something to the file from outside."""
    with closing(sqlite3.connect(store.path)) as db:
        db.executescript(script)


def commits(store: SqliteStore) -> int:
    """Count the commits in the write-ahead log (https://www.sqlite.org/fileformat2.html#walformat).

    A frame that ends a commit says how large the database is; a frame of the present log has its header's salts.
    """
    log = store.path.with_name(store.path.name + "-wal").read_bytes()
    page, salts = int.from_bytes(log[8:12], "big"), log[16:24]
    frames = [log[start : start + 24] for start in range(32, len(log), 24 + page)]
    return sum(frame[4:8] != bytes(4) for frame in frames if frame[8:16] == salts)


def insertion(number: int) -> Callable[[Transaction], int]:
    def work(tx: Transaction) -> int:
        tx.approvals.insert(an_approval(id=approval_id(START, number)))
        return number

    return work


async def together(store: SqliteStore, *jobs: Job) -> None:
    """Run `jobs` while the writer is busy, so that all their writes wait in its queue; then let it go."""
    started, release = threading.Event(), threading.Event()

    def hold(_: View) -> None:
        started.set()
        assert release.wait(20)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.write, hold)
        assert await anyio.to_thread.run_sync(started.wait, 20)
        for job in jobs:
            tasks.start_soon(job)
        await anyio.wait_all_tasks_blocked()
        release.set()


def each(store: SqliteStore, count: int, outcome: list[object]) -> list[Job]:
    """Insertions that note what came of them."""

    def job(number: int) -> Job:
        async def insert() -> None:
            try:
                outcome.append(await store.write(insertion(number)))
            except Unavailable as error:
                outcome.append(str(error))

        return insert

    return [job(number) for number in range(count)]


@pytest.mark.parametrize(
    ("queued", "committed"), [(1, 1), (20, 1), (MOST_TOGETHER, 1), (MOST_TOGETHER + 1, 2), (2 * MOST_TOGETHER + 2, 3)]
)
async def test_what_queued_up_is_one_commit_for_each_full_batch(
    store: SqliteStore, queued: int, committed: int
) -> None:
    await store.write(insertion(10_000))
    before = commits(store)
    outcome: list[object] = []
    await together(store, *each(store, queued, outcome))
    assert outcome == list(range(queued))
    assert commits(store) - before == committed


async def test_nobody_hears_before_the_commit(store: SqliteStore) -> None:
    seen: list[bool] = []

    async def insert_and_look(number: int) -> None:
        await store.write(insertion(number))
        with closing(sqlite3.connect(store.path)) as db:
            found = db.execute("SELECT 1 FROM approvals WHERE id = ?", (approval_id(START, number),)).fetchone()
            seen.append(found is not None)

    def job(number: int) -> Job:
        return lambda: insert_and_look(number)

    await together(store, *(job(number) for number in range(10)))
    assert seen == [True] * 10


async def test_a_failed_commit_fails_each_of_its_callers_and_the_next_one_works(store: SqliteStore) -> None:
    attack(
        store,
        """
        CREATE TABLE broken (approval TEXT REFERENCES approvals (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER break AFTER INSERT ON approvals BEGIN INSERT INTO broken VALUES ('nobody'); END;
        """,
    )
    outcome: list[object] = []
    await together(store, *each(store, 5, outcome))
    assert (
        outcome
        == ["The database could not do this (FOREIGN KEY constraint failed); nothing was changed. Try again."] * 5
    )
    attack(store, "DROP TRIGGER break")
    assert await store.write(insertion(7)) == 7
    assert await store.read(lambda view: view.lists.count_pending(START, kind=None, most=100)) == 1


async def test_a_transaction_that_sqlite_gave_up_fails_each_of_its_callers(store: SqliteStore) -> None:
    """A full disk ends the whole transaction in the middle of one caller's work; so does a RAISE(ROLLBACK)."""
    attack(
        store,
        f"""
        CREATE TRIGGER full BEFORE INSERT ON approvals WHEN NEW.id = '{approval_id(START, 2)}'
        BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END;
        """,
    )
    outcome: list[object] = []
    await together(store, *each(store, 5, outcome))
    assert outcome == ["The database could not do this (database or disk is full); nothing was changed. Try again."] * 5
    assert await store.write(insertion(7)) == 7
    assert await store.read(lambda view: view.lists.count_pending(START, kind=None, most=100)) == 1


async def test_what_sqlite_gives_up_is_the_fault_of_who_was_alone_unless_the_place_is_to_blame(
    store: SqliteStore,
) -> None:
    def undo_everything(tx: Transaction) -> None:
        tx.execute("INSERT OR ROLLBACK INTO counter VALUES (1, '5')")

    def hide(tx: Transaction) -> None:
        with suppress(sqlite3.Error):
            undo_everything(tx)

    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE constraint failed"):
        await store.write(undo_everything)
    with pytest.raises(Unavailable, match=r"could not do this \(it gave up\); nothing was changed. Try again.$"):
        await store.write(hide)
    assert await store.write(insertion(7)) == 7


async def test_a_mistake_in_a_statement_is_the_callers_own_and_nobody_elses(store: SqliteStore) -> None:
    """To try again, as with a database that is locked, would be to try for good."""
    outcome: list[object] = []

    async def fail() -> None:
        with pytest.raises(sqlite3.OperationalError, match=r"no such table: lettrs"):
            await store.write(lambda tx: tx.execute("INSERT INTO lettrs VALUES (1)"))

    await together(store, *each(store, 2, outcome), fail)
    await fail()
    assert outcome == [0, 1]


async def test_a_read_that_sqlite_cannot_do_says_that_the_database_is_to_blame(store: SqliteStore) -> None:
    """Nobody's own statements are there, so the file is not what this program has made."""
    attack(store, "ALTER TABLE counter RENAME TO gone")
    with pytest.raises(Unavailable, match=r"no such table: counter"):
        await store.read(lambda view: view.execute("SELECT value FROM counter"))


async def test_a_malformed_file_is_said_to_be_and_nobody_is_advised_to_try_again(store: SqliteStore) -> None:
    await store.write(insertion(1))
    attack(store, "PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(sqlite3.connect(store.path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'audit'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with store.path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    told = (
        r"^The database could not do this \(database disk image is malformed\); nothing was changed. "
        r"Trying again does not help until the file is repaired or replaced.$"
    )
    with pytest.raises(Unavailable, match=told):
        await store.write(lambda tx: tx.log.head())
    with pytest.raises(Unavailable, match=told):
        await store.read(lambda view: view.log.head())


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (SystemExit(3), "The work for the database raised SystemExit: 3."),
        (KeyboardInterrupt(), "The work for the database raised KeyboardInterrupt."),
        (asyncio.CancelledError(), "The work for the database raised asyncio.exceptions.CancelledError."),
        (StopIteration(), "The work for the database raised StopIteration."),
        (ValueError("Wrong"), "Wrong"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("others", [0, 2], ids=["alone", "together"])
async def test_whatever_a_write_raises_everybody_is_answered_and_the_thread_goes_on(
    store: SqliteStore, raised: BaseException, told: str, others: int
) -> None:
    outcome: list[object] = []

    def work(tx: Transaction) -> None:
        tx.approvals.insert(an_approval(id=approval_id(START, 99)))
        raise raised

    async def fail() -> None:
        with pytest.raises((RuntimeError, ValueError)) as caught:
            await store.write(work)
        assert str(caught.value) == told
        assert raised in (caught.value, caught.value.__cause__)

    with anyio.fail_after(20):
        await together(store, fail, *each(store, others, outcome))
        assert outcome == list(range(others))
        assert await store.write(insertion(7)) == 7
        assert await store.read(lambda view: view.approvals.get(approval_id(START, 99))) is None


async def test_an_answer_that_cannot_be_handed_over_keeps_none_of_the_others(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Awkward(asyncio.Future[Any]):
        def set_result(self, result: object) -> None:
            raise TypeError("Not this")

    async def fail() -> None:
        loop = asyncio.get_running_loop()

        def create() -> Awkward:
            monkeypatch.undo()  # for this one alone
            return Awkward(loop=loop)

        monkeypatch.setattr(loop, "create_future", create)
        with pytest.raises(RuntimeError, match="could not be handed over: TypeError"):
            await store.write(insertion(99))

    outcome: list[object] = []
    with anyio.fail_after(20):
        await together(store, fail, *each(store, 2, outcome))
    assert outcome == [0, 1]


async def test_a_file_that_stays_locked_is_said_to_be_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BUSY_SECONDS", 0.05)
    store = SqliteStore(tmp_path / "hitl.db")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"database is locked"):
            await store.write(insertion(1))
        assert await store.read(lambda view: view.log.last_seq()) == 0  # reading goes on meanwhile
    assert await store.write(insertion(1)) == 1
    await store.close()


async def test_a_write_that_was_cancelled_before_its_turn_is_not_run(store: SqliteStore) -> None:
    outcome: list[object] = []

    async def give_up() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.write, insertion(99))
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    await together(store, give_up, *each(store, 2, outcome))
    assert outcome == [0, 1]
    assert await store.read(lambda view: view.approvals.get(approval_id(START, 99))) is None


async def test_a_commit_of_its_own_wakes_without_a_look_at_the_file(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_hitl.store.sqlite.watch.LOOK_SECONDS", 600)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.changed)
            await anyio.wait_all_tasks_blocked()
            await store.write(insertion(1))
