"""Commits, and finds out what became of a commit that failed.

If the disk fails while SQLite waits for it, the transaction is undone for everybody who has the database open. But its
pages are in the write-ahead log already, complete: after a crash, SQLite finds them there, and the transaction counts
after all (https://www.sqlite.org/walformat.html). The next commit overwrites them.
"""

import sqlite3
from contextlib import suppress

from mcp_hitl.domain.values.errors import Uncertain

_NOTHING_WRITTEN = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL})
"""The transaction did not begin to commit, or there was no room for its last page: it can never count."""


def commit(db: sqlite3.Connection) -> None:
    """Commit the transaction of `db`.

    Raises:
        sqlite3.Error: it failed, and nothing was changed.
        Uncertain: it failed, and counts after a crash unless something else is written first.
    """
    try:
        db.execute("COMMIT")
    except sqlite3.Error as error:
        undo(db)
        if error.sqlite_errorcode & 0xFF in _NOTHING_WRITTEN or _overwritten(db):
            raise
        raise Uncertain(
            f"The database could not finish this ({error}). It is not known whether it was changed: look again, and "
            "once more after a restart of this server, before you repeat it."
        ) from error


def undo(db: sqlite3.Connection) -> None:
    """Roll back what is open, if SQLite has not done so itself."""
    with suppress(sqlite3.Error):
        if db.in_transaction:
            db.execute("ROLLBACK")


def settle(db: sqlite3.Connection) -> None:
    """Write what is in the log to the file, if possible: the database has noted that an older copy was put there."""
    with suppress(sqlite3.Error):
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _overwritten(db: sqlite3.Connection) -> bool:
    """Commit something that changes nothing in place of what failed. Return False if that fails too."""
    try:
        db.execute("BEGIN IMMEDIATE")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version = {version}")  # an UPDATE that changes nothing would write nothing
        db.execute("COMMIT")
    except sqlite3.Error:
        undo(db)
        return False
    return True
