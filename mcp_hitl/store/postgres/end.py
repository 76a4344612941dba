"""One end of a move: a database on a server, to which no other process of ours is connected."""

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from mcp_hitl.config.location import Location
from mcp_hitl.domain.values.errors import Invalid, Unavailable, Uncertain
from mcp_hitl.store.batches import BUSY_SECONDS
from mcp_hitl.store.moving import TOGETHER, Rows
from mcp_hitl.store.postgres.connection import LOCK, SCHEMA, cannot_connect, connect
from mcp_hitl.store.postgres.database import PostgresDatabase, escaped, unescaped
from mcp_hitl.store.postgres.errors import in_a_line, what_next
from mcp_hitl.store.postgres.migrating import prepare, take_steps, version_of
from mcp_hitl.store.postgres.schema import MIGRATIONS
from mcp_hitl.store.postgres.session import ELSEWHERE, TELL_AND_COMMIT
from mcp_hitl.store.sql.transaction import SqlTransaction

_PATIENCE_SECONDS, _PAUSE_SECONDS = 2.0, 0.1
"""How long it waits for those who are just leaving."""
_BEGIN = (
    f"BEGIN; SET LOCAL search_path = {SCHEMA}, pg_temp; SET LOCAL lock_timeout = {BUSY_SECONDS * 1000:.0f}; "
    f"SELECT pg_advisory_xact_lock({LOCK}); SET LOCAL idle_in_transaction_session_timeout = 0"
)
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'mcp-hitl'
"""
"""Who has given itself another name is refused at its next transaction."""
_COLUMNS = f"""
SELECT relname::text, attname::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0
AND NOT attisdropped AND attgenerated = ''
"""
_NUMBER_ON = (
    "SELECT setval(pg_get_serial_sequence('{table}', 'rowid'), max(rowid)) FROM \"{table}\" HAVING count(*) > 0"
)


class PostgresEnd:
    """An `End` that is on a server."""

    def __init__(self, location: Location, *, source: bool) -> None:
        """Connect.

        Raises:
            Unavailable: the server cannot be reached.
        """
        self.name = str(location)
        self._address = location.written
        self._source = source
        try:
            self._connection = connect(self._address)
            self.db = PostgresDatabase(self._connection)
        except psycopg.Error as error:
            raise cannot_connect(self._address, error) from error
        self.place = self.db.server
        self._begun = False

    def begin(self) -> None:
        """See `End.begin`."""
        with self.guarded():
            if not self._begun:
                self._refuse_version()
                self._refuse_others()
            self._begun = True
            self.db.run(_BEGIN)
            if not self._source and version_of(self._connection) == 0:
                take_steps(self._connection)
            self.tx = SqlTransaction(self.db)
            [server] = self.db.execute("SELECT value FROM facts WHERE name = 'server'").fetchone()
            self.tx.log.kept = None if server in ("", self.place) else ELSEWHERE

    def tables(self) -> Mapping[str, frozenset[str]]:
        """See `End.tables`."""
        with self.guarded():
            columns: dict[str, set[str]] = {}
            for table, column in self._connection.execute(_COLUMNS.encode()):
                columns.setdefault(table, set()).add(column)
            return {table: frozenset(names) for table, names in columns.items()}

    def rows(self, table: str, columns: list[str]) -> Iterator[list[tuple[Any, ...]]]:
        """See `End.rows`."""
        with self.guarded(), self._connection.cursor("moving") as cursor:
            cursor.execute(f'SELECT {_listed(columns)} FROM "{table}"'.encode())
            while page := cursor.fetchmany(TOGETHER):
                yield [tuple(unescaped(value) for value in row) for row in page]

    def insert(self, table: str, columns: list[str], rows: Rows) -> None:
        """See `End.insert`."""
        with self.guarded(), self._connection.cursor() as cursor:
            with cursor.copy(f'COPY "{table}" ({_listed(columns)}) FROM STDIN'.encode()) as copy:
                for page in rows:
                    for row in page:
                        copy.write_row([escaped(value) for value in row])
            if "rowid" in columns:
                cursor.execute(_NUMBER_ON.format(table=table).encode())

    def commit(self) -> None:
        """See `End.commit`."""
        with self.guarded():
            try:
                self.db.run(TELL_AND_COMMIT)
            except psycopg.Error as error:
                if not self._connection.closed:
                    raise
                raise Uncertain(
                    f"The connection to {self.name} was lost at the last moment ({in_a_line(error)}). It is not known "
                    "whether everything has arrived. Run the same command again: it finds out, and finishes the move."
                ) from error

    def close(self) -> None:
        """See `End.close`."""
        self._connection.close()

    def _refuse_version(self) -> None:
        version = version_of(self._connection)
        if self._source and version == 0:
            raise Invalid(f"There is no desk in {self.name}, so there is nothing to move.")
        if self._source and version < len(MIGRATIONS):
            prepare(self._address)
        if version > len(MIGRATIONS) or (not self._source and version not in (0, len(MIGRATIONS))):
            raise Invalid(
                f"{self.name} belongs to another version of this program. Name a database with nothing in it."
            )

    def _refuse_others(self) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while (row := self._connection.execute(_OTHERS.encode()).fetchone()) is not None and row[0]:
            if time.monotonic() < until:
                time.sleep(_PAUSE_SECONDS)
                continue
            raise Unavailable(
                f"{self.name} is in use. Stop every server and every program that uses it, on all machines, then move "
                "again. Nothing was changed."
            )

    @contextmanager
    def guarded(self) -> Generator[None]:
        """See `End.guarded`."""
        try:
            yield
        except psycopg.Error as error:
            raise Unavailable(
                f"The move stopped at {self.name} ({in_a_line(error)}). Nothing was moved. {what_next(error)}"
            ) from error


def _listed(columns: list[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
