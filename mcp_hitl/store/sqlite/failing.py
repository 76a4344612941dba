"""What a caller is told of what was raised where its work ran."""

import sqlite3
from traceback import format_exception_only

from mcp_hitl.domain.errors import Unavailable


def told(error: BaseException) -> Exception:
    """What the caller hears: the error itself, unless it would not survive the way there.

    No future takes a `StopIteration`, and what is no `Exception` (`sys.exit` raises one) would end whoever waits.
    """
    if isinstance(error, sqlite3.OperationalError):
        return unavailable(error)
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    failure = RuntimeError(f"What was to be written raised {''.join(format_exception_only(error)).strip()}.")
    failure.__cause__ = error
    return failure


def unavailable(error: Exception) -> Unavailable:
    """Nothing was changed, and not for a reason of the caller's."""
    return Unavailable(f"The database could not take this ({error}); nothing was changed. Try again.")
