"""What a caller is told of what was raised where its work ran."""

import sqlite3
from traceback import format_exception_only

from mcp_hitl.domain.errors import Unavailable

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
"""What is wrong with the place and may be over in a while (https://www.sqlite.org/rescode.html)."""
_LASTING = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOLFS}
)
"""What is wrong with the place until somebody mends it."""


def told(error: BaseException, *, own: bool) -> Exception:
    """What the caller hears: the error itself, unless it is of the place, or would not survive the way there.

    `own` says that the statement may have been the caller's: then a mistake in it stays the caller's. No future takes a
    `StopIteration`, and what is no `Exception` (`sys.exit` raises one) would end whoever waits.
    """
    sort = _sort(error)
    if sort is not None and (not own or sort in _PASSING | _LASTING):
        return unavailable(error)
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    failure = RuntimeError(f"What was to be written raised {''.join(format_exception_only(error)).strip()}.")
    failure.__cause__ = error
    return failure


def unavailable(error: BaseException | None) -> Unavailable:
    """Nothing was changed, and not for a reason of the caller's."""
    lasting = _sort(error) in _LASTING
    what_next = "Trying again does not help until the file is mended or replaced." if lasting else "Try again."
    return Unavailable(
        f"The database could not take this ({error or 'it was given up'}); nothing was changed. {what_next}"
    )


def _sort(error: BaseException | None) -> int | None:
    """SQLite's primary code, of which the upper bits say more; None of what it has not said itself."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
