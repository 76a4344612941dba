"""The floor that `benchmarks` compares our cycles with makes the promises that it is to be the price of."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres import empty_database

from benchmarks.floor.callers import Floor, cycle
from benchmarks.floor.desk import Refused, Transaction, Transactions, decide, end, start, submit, verify
from benchmarks.floor.postgres import postgres
from benchmarks.floor.sqlite import sqlite

pytestmark = pytest.mark.anyio
REFUSED = sqlite3.IntegrityError, psycopg.IntegrityError
DIGEST, OTHER = "d" * 64, "e" * 64
LOG = "SELECT seq, entry, hash FROM log ORDER BY seq"


@dataclass
class Place:
    """A database, and a way to it past the floor."""

    transactions: Callable[[], AbstractContextManager[Transactions]]
    run: Callable[[str], list[Any]]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        path = tmp_path / "floor.db"
        return Place(partial(sqlite, path), partial(_by_sqlite, path))
    url = empty_database()
    return Place(partial(postgres, url), partial(_by_postgres, url))


def _by_sqlite(path: Path, sql: str) -> list[Any]:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def _by_postgres(url: str, sql: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as db:
        found = db.execute(sql.encode())
        return found.fetchall() if found.description else []


async def test_each_change_is_in_a_chain_that_verifies(place: Place) -> None:
    async with Floor(place.transactions) as floor:
        await asyncio.gather(*(cycle(floor, {"number": number}) for number in range(16)))
        rows = place.run(LOG)
        assert verify(rows) == 16 * 5
        assert place.run("SELECT count(*) FROM approvals WHERE status = 'approved' AND outcome = 'succeeded'") == [
            (16,)
        ]
        seq, entry, digest = rows[40]
        for wrong in ([(seq, entry.replace(":", ": ", 1), digest)], []):
            with pytest.raises(ValueError, match="breaks at 41"):
                verify([*rows[:40], *wrong, *rows[41:]])


async def test_what_callers_want_at_the_same_time_is_one_transaction(place: Place) -> None:
    begun: list[Transaction] = []
    queued = threading.Event()

    @contextmanager
    def counted() -> Generator[Transactions]:
        queued.wait()
        with place.transactions() as transactions:

            @contextmanager
            def transaction() -> Generator[Transaction]:
                with transactions() as write:
                    begun.append(write)
                    yield write

            yield transaction

    async with Floor(counted) as floor:
        calls = [asyncio.create_task(floor.do(submit, f"a{number}", "{}", DIGEST, 60)) for number in range(16)]
        await asyncio.sleep(0)
        queued.set()
        await asyncio.gather(*calls)
        assert [len(write.entries) for write in begun] == [16]


def test_a_commit_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def noted(connect: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **named: Any) -> Any:
            opened.append(connect(*args, **named))
            return opened[-1]

        return note

    url = empty_database()
    monkeypatch.setattr(sqlite3, "connect", noted(sqlite3.connect))
    monkeypatch.setattr(psycopg, "connect", noted(psycopg.connect))
    with sqlite(tmp_path / "floor.db"), postgres(url):
        file, server = opened
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert file.execute("PRAGMA synchronous").fetchone() == (2,)
        assert file.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert server.execute("SHOW synchronous_commit").fetchone() == ("on",)


async def test_the_log_and_decisions_never_change(place: Place) -> None:
    async with Floor(place.transactions) as floor:
        await cycle(floor, {})
        before = place.run(LOG)
        for sql in (
            "UPDATE log SET entry = '{}'",
            "DELETE FROM log",
            "UPDATE decisions SET verdict = 'rejected'",
            "DELETE FROM decisions",
            "UPDATE approvals SET status = 'rejected'",
            "UPDATE approvals SET payload = '{\"amount\":1}'",
            "DELETE FROM approvals",
            "UPDATE steps SET result = 'not paid'",
            "DELETE FROM steps",
        ):
            with pytest.raises(REFUSED):
                place.run(sql)
        assert place.run(LOG) == before


async def test_an_approval_is_decided_once_as_it_was_shown_and_in_time(place: Place) -> None:
    async with Floor(place.transactions) as floor:
        await asyncio.gather(*(floor.do(submit, name, "{}", DIGEST, 60) for name in ("one", "other")))
        await floor.do(submit, "late", "{}", DIGEST, 0.000_001)
        told = await asyncio.gather(
            floor.do(decide, "one", DIGEST, "ana", "approved"),
            floor.do(decide, "one", DIGEST, "bo", "rejected"),
            floor.do(decide, "other", OTHER, "ana", "approved"),
            floor.do(decide, "late", DIGEST, "ana", "approved"),
            floor.do(decide, "other", DIGEST, "bo", "rejected"),
            return_exceptions=True,
        )
        assert [told[0], told[4]] == [None, None]
        assert isinstance(told[1], REFUSED) and isinstance(told[2], REFUSED) and isinstance(told[3], Refused)
        assert place.run("SELECT id, status FROM approvals ORDER BY id") == [
            ("late", "pending"),
            ("one", "approved"),
            ("other", "rejected"),
        ]
        assert place.run("SELECT count(*) FROM decisions") == [(2,)] and verify(place.run(LOG)) == 5


async def test_a_step_starts_once_after_approval_and_ends_once(place: Place) -> None:
    async with Floor(place.transactions) as floor:
        await floor.do(submit, "one", "{}", DIGEST, 60)
        with pytest.raises(Refused):
            await floor.do(start, "one", "pay")
        await floor.do(decide, "one", DIGEST, "ana", "approved")
        with pytest.raises(Refused):
            await floor.do(end, "one", "pay", "paid")
        await floor.do(start, "one", "pay")
        with pytest.raises(REFUSED):
            await floor.do(start, "one", "pay")
        await floor.do(end, "one", "pay", "paid")
        with pytest.raises(Refused):
            await floor.do(end, "one", "pay", "paid twice")
        assert place.run("SELECT result FROM steps") == [("paid",)] and verify(place.run(LOG)) == 5
