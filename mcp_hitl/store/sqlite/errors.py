"""Turns an error in a thread of the store into the error that its caller gets."""

import sqlite3

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.passed_on import passed_on

_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_SCHEMA,
    }
)
"""Faults of the disk or the file that may pass (https://www.sqlite.org/rescode.html)."""
_LASTING = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOLFS}
)
"""Faults of the disk or the file that last until somebody repairs them."""

_UNWRITABLE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    }
)
"""Faults that may be those of writing alone."""


def told(error: BaseException, *, own: bool) -> Exception:
    """Return the error for the caller: the error itself, unless the database is at fault or it cannot be passed on.

    `own` is True if the statement may be the caller's own; then an error in it stays the caller's.
    """
    sort = _sort(error)
    if sort is not None and (not own or sort in _PASSING | _LASTING):
        return unavailable(error)
    return passed_on(error)


def unavailable(error: BaseException | None) -> Unavailable:
    """Return the error for a caller who is not at fault; nothing was changed."""
    return Unavailable(
        f"The database could not do this ({error or 'it gave up'}); nothing was changed. {what_next(error)}"
    )


def what_next(error: BaseException | None) -> str:
    """Return what somebody can do about an error of SQLite's."""
    sort = _sort(error)
    if sort == sqlite3.SQLITE_FULL:
        return "Make room on its disk, then try again."
    return "Trying again does not help until the file is repaired or replaced." if sort in _LASTING else "Try again."


def cannot_write(error: BaseException | None) -> bool:
    """Return True if the disk or the rights to the file are in the way, so that reading may still go."""
    return isinstance(error, OSError) or _sort(error) in _UNWRITABLE


def is_busy(error: sqlite3.Error) -> bool:
    """Return True if another connection is in the way, so that waiting helps."""
    return _sort(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _sort(error: BaseException | None) -> int | None:
    """Return SQLite's primary code, without the detail in the upper bits; None for errors that SQLite did not raise."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
