"""A connection to PostgreSQL that takes the statements of `store/sql`, and gives their rows."""

import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg
from psycopg import RawCursor

from mcp_hitl.store.sql.database import Database, Words

_TOKENS = re.compile(
    r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*"   # texts and names
    | --[^\n]* | /\*.*?\*/            # comments
    | (?P<hint>\s+INDEXED\s+BY\s+\w+)
    | ::                              # a cast
    | \?(?P<number>\d*)               # a value
    | :(?P<name>[a-z_]+)              # a named value
    """,
    re.VERBOSE | re.DOTALL,
)
_SERVER = (
    "SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || "
    "(SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || "
    "CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END"
)
"""The server's number, the database's, and the timeline, which begins anew when a standby takes over, and when an older
state is restored (https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES)."""
_NUL, _ESCAPE = "\x00", "\uffff"
"""PostgreSQL has no text with U+0000. U+FFFF is no character, so it can say that one stood here."""


class Rows:
    """The rows of one statement, all of them, and the number of rows that it found or changed."""

    __slots__ = ("_left", "rowcount")

    def __init__(self, found: Sequence[Any], rowcount: int) -> None:
        """Give `found`, in order."""
        self._left = iter(found)
        self.rowcount = rowcount

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(self._left, None)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self._left)

    def __iter__(self) -> Iterator[Any]:
        """Return the rows that are left, one by one."""
        return self._left


class PostgresDatabase:
    """One connection, for the thread that uses it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Use `connection`, whose transactions somebody else begins and ends."""
        self._connection = connection
        self._plain = connection.cursor()
        self._cursor: RawCursor[Any] = RawCursor(connection)
        self.since: float | None = None
        """When the statement that the server runs now was sent, by `time.monotonic()`; None if it runs none."""
        self.server: str = self.run(_SERVER)[0]
        """Which server and database this is, and since when it goes its own way."""
        self.changed = False
        """True if a statement has changed something since this was last set to False."""

    @property
    def words(self) -> Words:
        """See `Database.words`."""
        return _WORDS

    def accept_place(self) -> None:
        """See `Database.accept_place`."""
        self.execute("UPDATE facts SET value = ? WHERE name = 'server'", (self.server,))

    def fetched(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """See `Database.fetched`. The server keeps nothing that is no text."""
        return self.execute(sql, parameters).fetchall()

    def run(self, statements: str) -> Any:
        """Run statements of our own, without values, in one message; return the row of the last one.

        Raises:
            psycopg.Error: one of them failed, or what should be committed was rolled back.
        """
        cursor = self._plain
        self.since = time.monotonic()
        try:
            cursor.execute(statements.encode())
        finally:
            self.since = None
        while cursor.nextset():
            pass
        if statements.endswith("COMMIT") and cursor.statusmessage != "COMMIT":
            raise psycopg.errors.InFailedSqlTransaction("an error in one of its statements was not heeded")
        return cursor.fetchone() if cursor.pgresult and cursor.pgresult.nfields else None

    def cut(self) -> None:
        """End the connection, from another thread; whoever waits for an answer gets an error."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /) -> Rows:
        """See `Database.execute`.

        Raises:
            psycopg.Error: it failed, and so did the transaction, up to its last savepoint.
        """
        text, places = translated(sql)
        given = _placed(parameters, places)
        cursor = self._cursor
        # Without values, psycopg would send it in the way in which a text may hold several statements.
        self.since = time.monotonic()
        try:
            cursor.execute(text, given, prepare=None if given else True)
        finally:
            self.since = None
        self.changed = self.changed or not text.startswith(b"SELECT")
        found = cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else ()
        if any(type(value) is str and _ESCAPE in value for row in found for value in row):
            found = [tuple(unescaped(value) for value in row) for row in found]
        return Rows(found, cursor.rowcount)


@lru_cache(maxsize=1024)
def translated(statement: str) -> tuple[bytes, tuple[int | str, ...]]:
    """Return a statement with `$1`, `$2`, … for its values, and where each of these comes from: a place or a name."""
    places: list[int | str] = []
    next_place = count()

    def place(found: re.Match[str]) -> str:
        number, name = found["number"], found["name"]
        if found["hint"]:
            return ""
        if number is None and name is None:
            return found[0]
        source = name or (int(number) - 1 if number else next(next_place))
        if source not in places:
            places.append(source)
        return f"${places.index(source) + 1}"

    text = _TOKENS.sub(place, statement)
    return text.encode(), tuple(places)


def _placed(values: Sequence[Any] | Mapping[str, Any], places: tuple[int | str, ...]) -> list[object]:
    if not isinstance(values, Mapping) and len(values) != len({place for place in places if place != ""}):
        raise psycopg.ProgrammingError(f"The statement has places for {len(places)} values, not for {len(values)}.")
    given: Any = values
    return [escaped(given[place]) for place in places]


def _fault(db: Database) -> str | None:
    # Imported late: only who verifies asks.
    from mcp_hitl.store.postgres.soundness import fault_in

    return fault_in(db)


_WORDS = Words(name="postgres", rows_as_list="coalesce(json_agg(json_build_array({})), '[]'::json)::text", fault=_fault)


def escaped(value: object) -> object:
    """Return a value as the server takes it."""
    if type(value) is str and (_NUL in value or _ESCAPE in value):
        return value.replace(_ESCAPE, f"{_ESCAPE}1").replace(_NUL, f"{_ESCAPE}0")
    return value


def unescaped(value: Any) -> Any:
    """Return a value as it was before `escaped`."""
    if type(value) is str and _ESCAPE in value:
        return value.replace(f"{_ESCAPE}0", _NUL).replace(f"{_ESCAPE}1", _ESCAPE)
    return value
