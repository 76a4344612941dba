"""A PostgreSQL server that goes away: what is told is true, and the process recovers by itself."""

import os
import re
import secrets
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.to_thread
import postgres
import psycopg
import pytest
from store_samples import an_entry, append, insert, listed, numbered

from mcp_hitl.domain.values.errors import HitlError, Unavailable, Uncertain
from mcp_hitl.store import batches
from mcp_hitl.store.postgres import PostgresStore, session, watch
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio

COMMIT = b"COMMIT\x00"


class Line:
    """A way to the server that can be cut at a commit, before or after the server hears of it."""

    def __init__(self, server: Path) -> None:
        """Pass everything on to the server whose socket is in the folder `server`."""
        self._folder = TemporaryDirectory(prefix="hitl-line-")
        self.folder = self._folder.name
        self._there = str(server / ".s.PGSQL.5432")
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(f"{self.folder}/.s.PGSQL.5432")
        self._door.listen(100)
        self.cut: str | None = None
        self.refuses = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._door.accept()
            except OSError:
                return
            if self.refuses:
                here.close()
                continue
            there = socket.socket(socket.AF_UNIX)
            there.connect(self._there)
            back = threading.Thread(target=self._back, args=(there, here), daemon=True)
            back.start()
            threading.Thread(target=self._forth, args=(here, there, back), daemon=True).start()

    def _forth(self, here: socket.socket, there: socket.socket, back: threading.Thread) -> None:
        with here, there, suppress(OSError):
            while said := here.recv(65536):
                cut = self.cut if COMMIT in said and b"NOTIFY" in said else None
                if cut is not None:
                    self.cut = None
                    here.shutdown(socket.SHUT_RDWR)
                if cut != "before":
                    there.sendall(said)
                if cut is not None:
                    break
            there.shutdown(socket.SHUT_WR)
            back.join()

    def _back(self, there: socket.socket, here: socket.socket) -> None:
        with suppress(OSError):
            while said := there.recv(65536):
                here.sendall(said)
            here.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let nobody in any more."""
        self._door.close()
        self._folder.cleanup()


@pytest.fixture
def line() -> Generator[Line]:
    """A way to this process's server."""
    line = Line(postgres.server().folder)
    yield line
    line.close()


@pytest.fixture
async def store(line: Line, tmp_path: Path) -> AsyncGenerator[PostgresStore]:
    """A store on its own database, reached by `line`."""
    there = postgres.database_of(tmp_path)
    store = PostgresStore(re.sub(r"host=.*", f"host={line.folder}", there))
    yield store
    await store.close()


def end_connections(url: str) -> int:
    """Let the server end every other connection to a database; the number of them."""
    with psycopg.connect(url, autocommit=True) as db:
        ended = db.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert ended is not None
    return ended[0]


async def test_a_commit_whose_answer_was_lost_is_looked_up(store: PostgresStore, line: Line) -> None:
    line.cut = "after"
    await insert(store, numbered(1))
    line.cut = "after"
    await append(store, an_entry(numbered(1)))
    assert len(await listed(store)) == 1
    assert await store.read(lambda view: view.log.last_seq()) == 1


async def test_a_commit_that_the_server_never_heard_of_has_changed_nothing(store: PostgresStore, line: Line) -> None:
    for write in (insert(store, numbered(1)), append(store, an_entry(numbered(1)))):
        line.cut = "before"
        with pytest.raises(Unavailable, match=r"nothing was changed\. Try again\."):
            await write
    assert await listed(store) == []
    assert await store.read(lambda view: view.log.last_seq()) == 0
    await insert(store, numbered(1))


async def test_what_cannot_be_looked_up_is_told_as_unknown(
    store: PostgresStore, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_LOOK_SECONDS", 0.3)
    line.cut = "after"
    line.refuses = True
    with pytest.raises(Uncertain, match=r"It is not known whether this was changed: look before you repeat it\."):
        await insert(store, numbered(1))
    line.refuses = False
    with anyio.fail_after(20):
        assert len(await listed(store)) == 1


async def test_connections_that_the_server_ends_are_made_anew(tmp_path: Path) -> None:
    url = postgres.database_of(tmp_path)
    store = PostgresStore(url)
    assert store.hold("inbox")
    await insert(store, numbered(1))
    assert end_connections(url) >= 4
    await insert(store, numbered(2))
    assert len(await listed(store)) == 2
    assert not store.is_held("inbox")
    assert store.hold("inbox") and store.is_held("inbox")
    other = PostgresStore(url)
    with anyio.fail_after(20):
        await store.changed()
        await insert(other, numbered(3))
        await store.changed()
    await store.close()
    await other.close()


async def test_work_whose_connection_is_lost_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    url = postgres.database_of(tmp_path)
    store = PostgresStore(url)

    def work(tx: Transaction) -> None:
        tx.approvals.insert(numbered(1))
        end_connections(url)
        tx.approvals.insert(numbered(2))

    with pytest.raises(Unavailable, match="nothing was changed"):
        await store.write(work)
    assert await listed(store) == []
    await store.close()


@pytest.mark.parametrize("how", ["fast", "immediate"])
async def test_a_server_that_restarts_is_waited_for(how: str) -> None:
    server = postgres.mortal()
    store = PostgresStore(server.create(f"t_{secrets.token_hex(8)}"))
    await insert(store, numbered(1))
    await anyio.to_thread.run_sync(server.stop, how)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(insert, store, numbered(2))
        await anyio.to_thread.run_sync(server.start)
    assert len(await listed(store)) == 2
    await store.close()


async def test_a_server_that_stays_away_is_unavailable_within_the_busy_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BUSY_SECONDS", 0.3)
    server = postgres.mortal()
    store = PostgresStore(server.create(f"t_{secrets.token_hex(8)}"))
    await anyio.to_thread.run_sync(server.stop, "fast")
    for ask in (insert(store, numbered(1)), listed(store)):
        with pytest.raises(Unavailable, match=r"nothing was changed\. Try again\."), anyio.fail_after(10):
            await ask
    server.start()
    assert await listed(store) == []
    await store.close()


async def test_a_server_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BUSY_SECONDS", 0.5)
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(batches, "BUSY_SECONDS", 0.5)
    server = postgres.mortal()
    store = PostgresStore(server.create(f"t_{secrets.token_hex(8)}") + "&connect_timeout=2")
    processes = server.processes()
    for process in processes:
        with suppress(ProcessLookupError):  # one that was there for a moment only
            os.kill(process, signal.SIGSTOP)
    try:
        for ask in (insert(store, numbered(1)), listed(store)):
            with pytest.raises(HitlError, match="changed"), anyio.fail_after(20):
                await ask
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)
    await insert(store, numbered(2))
    await store.close()
