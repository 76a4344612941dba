"""Opens the file, sets its pragmas, and brings its schema to this program's version."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.batches import BUSY_SECONDS
from mcp_hitl.store.moved import refuse_moved
from mcp_hitl.store.sql.facts import SqlFacts
from mcp_hitl.store.sqlite.database import SqliteDatabase
from mcp_hitl.store.sqlite.errors import is_busy, what_next
from mcp_hitl.store.sqlite.files import make_private
from mcp_hitl.store.sqlite.place import refuse_second_name
from mcp_hitl.store.sqlite.schema import MIGRATIONS

C = TypeVar("C", bound=SqliteDatabase)

_SCRUB_MS = 250

APPLICATION_ID = int.from_bytes(b"HITL", "big")
"""`file` and this program recognise our files by it (https://www.sqlite.org/pragma.html#pragma_application_id)."""


def connect(path: Path, sort: type[C] = SqliteDatabase) -> C:
    """Return a connection of type `sort`, for the thread that uses it first.

    Raises:
        Unavailable: the file cannot be opened, or is not a database.
    """
    try:
        there = f"{path.absolute().as_uri()}?mode=rw"  # never in place of a file that is gone
        db = sqlite3.connect(
            there, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=sort
        )
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")  # what is erased is gone from the file too
    except sqlite3.Error as error:
        raise Unavailable(f"The database {path} cannot be opened: {error}.") from error
    return db


def prepare(path: Path, *, leaving: bool = False) -> SqliteDatabase:
    """Create the file if it is missing, and bring its schema to this program's version. Return a connection to it.

    It stays open: if it is the only one, closing it would remove the log that a crash has left, and with it the sign
    that this is not the file which that log continues. With `leaving`, it may be one that its desk has left.

    Raises:
        Unavailable: it cannot be created, is not ours (then it is not changed), belongs to a newer version, or its desk
            was moved to another database.
    """
    _refuse_what_is_not_ours(path)
    try:
        refuse_second_name(path)
        make_private(path)
    except OSError as error:
        raise Unavailable(f"The database {path} cannot be created: {error.strerror or error}.") from error
    db = connect(path)
    try:
        _use_wal(db)
        if version_of(db) < len(MIGRATIONS):
            migrate(db)
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        check_version(db)
        if not leaving:
            refuse_moved(SqlFacts(db).moved(), str(path))
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.Error):
            raise Unavailable(f"The database {path} cannot be used: {error}. {what_next(error)}") from error
        raise
    return db


def scrub(path: Path) -> bool:
    """Empty the write-ahead log, which still has erased contents. Return False if that cannot be done now.

    Writes have to wait while this waits for readers, so it does not wait long
    (https://www.sqlite.org/pragma.html#pragma_wal_checkpoint).
    """
    try:
        with closing(connect(path)) as db:
            db.execute(f"PRAGMA busy_timeout = {_SCRUB_MS}")
            busy: int = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except (sqlite3.Error, Unavailable):
        return False
    return not busy


def _refuse_what_is_not_ours(path: Path) -> None:
    """Refuse another program's file. We read it only through SQLite, which keeps this process's locks on it."""
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return
        refuse_second_name(path)
        try:
            whose, fresh = _whose(path, "ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
            whose, fresh = _whose(path, "rw")  # a crash has left a change half made, and SQLite undoes it first
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"The database {path} cannot be opened: {error}. It was not changed.") from error
    if whose != APPLICATION_ID and not fresh:
        raise Unavailable(f"{path} is another program's database. It was not changed; name another file.")


def _whose(path: Path, mode: str) -> tuple[int, bool]:
    """Return the id of the program that made a database, and True if there is nothing in it."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS)) as db:
        db.execute("BEGIN")  # one snapshot: another process may be making it ours between two looks
        whose = int(db.execute("PRAGMA application_id").fetchone()[0])
        return whose, not (whose or version_of(db) or db.execute("SELECT 1 FROM sqlite_schema").fetchone())


def version_of(db: sqlite3.Connection) -> int:
    """Return the schema's version: the number of migrations that the file has had."""
    row: Any = db.execute("PRAGMA user_version").fetchone()
    return int(row[0])


def check_version(db: sqlite3.Connection) -> None:
    """Refuse a file that is too new for this program, even if it was migrated while we had it open.

    Raises:
        Unavailable: the file is newer.
    """
    if version_of(db) > len(MIGRATIONS):
        raise Unavailable(
            "The database belongs to a newer version of mcp-hitl. Update this program and start it again."
        )


def migrate(db: sqlite3.Connection) -> None:
    """Bring the schema to this program's version, in a transaction of its own."""
    db.execute("BEGIN IMMEDIATE")
    try:
        take_steps(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def take_steps(db: sqlite3.Connection) -> None:
    """Bring the schema to this program's version, in the transaction of the caller."""
    # Imported late: it takes as long as everything else that a command of the terminal needs.
    from sqlite_utils import Database

    done = version_of(db)
    for step in MIGRATIONS[done:]:
        step(Database(db))
    if done < len(MIGRATIONS):
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _use_wal(db: sqlite3.Connection) -> None:
    """Turn on write-ahead logging. While another process does this, SQLite answers "locked" without waiting."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
