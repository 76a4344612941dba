"""What stands beside the database in place of its files: nothing waits for ever, and nobody else's file is written."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest
from asked import ask, look

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.sqlite import SqliteStore, locks

if os.name != "posix":
    pytest.skip("pipes with a name, and symlinks that anybody can make, are POSIX", allow_module_level=True)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with an approval."""
    ask(tmp_path / "hitl.db")
    return tmp_path / "hitl.db"


@pytest.fixture(autouse=True)
def patience() -> Generator[None]:
    """Opening a pipe for reading waits for one who writes: then the alarm ends the test."""

    def too_long(*_: object) -> None:
        raise TimeoutError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_t43_a_pipe_in_place_of_the_head_is_not_waited_for(database: Path) -> None:
    database.with_name("hitl.db.head").unlink()
    os.mkfifo(database.with_name("hitl.db.head"))

    async def read() -> int:
        store = SqliteStore(database)
        try:
            with anyio.fail_after(20):
                return await store.read(lambda view: view.log.last_seq())
        finally:
            await store.close()

    assert anyio.run(read) == 1


def test_t43_what_a_link_in_place_of_the_head_leads_to_is_not_written(database: Path) -> None:
    letter, head = database.with_name("letter"), database.with_name("hitl.db.head")
    letter.write_text("Dear Bo, " * 50)
    head.unlink()
    head.symlink_to(letter)
    ask(database)
    assert letter.read_text() == "Dear Bo, " * 50


def test_a_pipe_in_place_of_the_key_is_refused(database: Path) -> None:
    os.mkfifo(database.with_name("hitl.db.key"))
    store = SqliteStore(database)
    with pytest.raises(Unavailable, match=r"hitl\.db\.key is no file; remove it"):
        store.shared_key()
    anyio.run(store.close)


def test_a_pipe_in_place_of_a_lock_is_not_waited_for(database: Path) -> None:
    os.mkfifo(database.with_name("hitl.db.inbox"))
    assert not locks.held_beside(database, "inbox")


def test_t43_what_a_restore_that_was_killed_has_left_half_made_is_undone(database: Path) -> None:
    approval_id = ask(database)
    killed = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for one in ('PRAGMA journal_mode = DELETE', 'PRAGMA cache_size = 1', 'BEGIN EXCLUSIVE',\n"
        "            'UPDATE approvals SET title = hex(zeroblob(4000))', 'CREATE TABLE t AS SELECT * FROM audit'):\n"
        "    db.execute(one)\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(database)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert database.with_name("hitl.db-journal").stat().st_size > 0
    with pytest.raises(sqlite3.OperationalError), sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True) as db:
        db.execute("SELECT * FROM approvals")
    assert look(database, approval_id).title.startswith("Expense")
