"""Opening the file: pragmas, and a schema that is neither older nor newer than this program."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from mcp_hitl.domain.errors import Unavailable
from mcp_hitl.store.sqlite.files import make_private
from mcp_hitl.store.sqlite.schema import MIGRATIONS

C = TypeVar("C", bound=sqlite3.Connection)

BUSY_SECONDS = 30.0
"""How long a write waits for another process. Every client of one person starts a process of its own."""

_SCRUB_MS = 250

APPLICATION_ID = int.from_bytes(b"HITL", "big")
"""By which `file` and we know our files (https://www.sqlite.org/pragma.html#pragma_application_id)."""


def connect(path: Path, sort: type[C] = sqlite3.Connection) -> C:
    """Open the file for the thread that uses it first, as a connection of this sort.

    Raises:
        Unavailable: it cannot be opened, or is no database.
    """
    try:
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=sort)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")  # what is erased is gone from the file too
    except sqlite3.Error as error:
        raise Unavailable(f"The database {path} cannot be opened: {error}.") from error
    return db


def prepare(path: Path) -> None:
    """Create the file where it is missing and bring its schema to this program's version.

    Raises:
        Unavailable: it cannot be made, is not ours (and stays as it is), or belongs to a newer version of this program.
    """
    _refuse_what_is_not_ours(path)
    try:
        make_private(path)
    except OSError as error:
        raise Unavailable(f"The database {path} cannot be made: {error.strerror or error}.") from error
    db = connect(path)
    try:
        _use_wal(db)
        if version_of(db) < len(MIGRATIONS):
            _migrate(db)
        check_version(db)
    except sqlite3.Error as error:
        raise Unavailable(f"The database {path} cannot be used: {error}.") from error
    finally:
        db.close()


def scrub(path: Path) -> bool:
    """Empty the write-ahead log, in which what was erased still stands; False where it cannot be done now.

    Writes wait while it waits for readers: hence not for long (https://www.sqlite.org/pragma.html#pragma_wal_checkpoint).
    """
    try:
        with closing(connect(path)) as db:
            db.execute(f"PRAGMA busy_timeout = {_SCRUB_MS}")
            busy: int = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except (sqlite3.Error, Unavailable):
        return False
    return not busy


def _refuse_what_is_not_ours(path: Path) -> None:
    """Look at an existing file through SQLite alone, which keeps the locks that this process may have on it."""
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as db:
            db.execute("BEGIN")  # one snapshot: another process may be making it ours between two looks
            whose = int(db.execute("PRAGMA application_id").fetchone()[0])
            fresh = not (whose or version_of(db) or db.execute("SELECT 1 FROM sqlite_schema").fetchone())
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"The database {path} cannot be opened: {error}. It was left as it is.") from error
    if whose != APPLICATION_ID and not fresh:
        raise Unavailable(f"{path} is a database of another program. It was left as it is; name another file.")


def version_of(db: sqlite3.Connection) -> int:
    """The schema's version: how many migrations the file has had."""
    row: Any = db.execute("PRAGMA user_version").fetchone()
    return int(row[0])


def check_version(db: sqlite3.Connection) -> None:
    """Refuse a file that this program is too old for, also when it was migrated while we had it open.

    Raises:
        Unavailable: it is newer.
    """
    if version_of(db) > len(MIGRATIONS):
        raise Unavailable(
            "The database belongs to a newer version of mcp-hitl. Update this program and start it again."
        )


def _migrate(db: sqlite3.Connection) -> None:
    # Imported late: it takes as long as everything else that a command of the terminal needs.
    from sqlite_utils import Database

    db.execute("BEGIN IMMEDIATE")
    try:
        done = version_of(db)
        for step in MIGRATIONS[done:]:
            step(Database(db))
        if done < len(MIGRATIONS):
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _use_wal(db: sqlite3.Connection) -> None:
    """Turn on write-ahead logging. While another process does so, SQLite answers "locked" without waiting."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
