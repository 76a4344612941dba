"""Turns an error of PostgreSQL's into the error that a caller gets."""

import psycopg

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.domain.values.text import visible
from mcp_hitl.store.passed_on import passed_on

_OF_THE_SERVER = ("08", "25006", "40", "53", "55P03", "57", "58", "XX")
"""The codes, or their first characters, of what is not a statement's fault: connection, read-only server, conflict,
resources, lock, administrator, system, damage (https://www.postgresql.org/docs/current/errcodes-appendix.html).
"""
_FULL = ("53100",)
_RIGHTS = ("42501", "28")
_LASTING = ("25006", "XX001", "XX002")


def told(error: BaseException, *, own: bool) -> Exception:
    """Return the error for the caller: the error itself, unless the database is at fault or it cannot be passed on.

    `own` is True if the statement may be the caller's own; then an error in it stays the caller's.
    """
    if isinstance(error, psycopg.Error) and (not own or of_the_server(error)):
        return unavailable(error)
    return passed_on(error)


def unavailable(error: BaseException | None) -> Unavailable:
    """Return the error for a caller who is not at fault; nothing was changed."""
    return Unavailable(f"The database could not do this ({in_a_line(error)}); nothing was changed. {what_next(error)}")


def what_next(error: BaseException | None) -> str:
    """Return what somebody can do about an error of PostgreSQL's."""
    code = code_of(error)
    if code.startswith(_FULL):
        return "Make room on the server's disk, then try again."
    if code.startswith(_RIGHTS):
        return "Give the role its rights (docs/deploy.md), then try again."
    if code.startswith(_LASTING):
        return "Trying again does not help until the server is repaired, or takes writes."
    return "Try again."


def of_the_server(error: psycopg.Error) -> bool:
    """Return True if the server or the way to it is at fault, not the statement."""
    code = code_of(error)
    return code.startswith(_OF_THE_SERVER) if code else isinstance(error, psycopg.OperationalError)


def is_busy(error: psycopg.Error) -> bool:
    """Return True if another transaction is in the way, so that waiting helps."""
    return code_of(error) == "55P03"


def may_return(error: psycopg.Error) -> bool:
    """Return True if the server may be back in a moment: it restarts, starts, or has no connection left."""
    code = code_of(error)
    return isinstance(error, psycopg.OperationalError) and (not code or code.startswith(("08", "53", "57")))


def in_a_line(error: BaseException | None) -> str:
    """Return what the server or its library said, in one line."""
    said = (str(error).strip() if error else "") or "it gave up"
    return visible(" ".join(line.strip() for line in said.splitlines() if line.strip()))[:300]


def code_of(error: BaseException | None) -> str:
    """Return PostgreSQL's code of an error; empty for errors that the server did not send."""
    return (error.sqlstate or "") if isinstance(error, psycopg.Error) else ""
