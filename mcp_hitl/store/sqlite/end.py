"""One end of a move: a file that only this process has open."""

import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mcp_hitl.config.location import Location
from mcp_hitl.domain.values.errors import Invalid, Unavailable
from mcp_hitl.store.moving import TOGETHER, Rows
from mcp_hitl.store.sql.transaction import SqlTransaction
from mcp_hitl.store.sqlite.commit import commit
from mcp_hitl.store.sqlite.connection import APPLICATION_ID, connect, prepare, take_steps, version_of
from mcp_hitl.store.sqlite.copies import keep_alone
from mcp_hitl.store.sqlite.database import SqliteDatabase
from mcp_hitl.store.sqlite.errors import what_next
from mcp_hitl.store.sqlite.files import make_private
from mcp_hitl.store.sqlite.footing import COUNT
from mcp_hitl.store.sqlite.kept_head import KeptHead, kept_head
from mcp_hitl.store.sqlite.place import refuse_second_name
from mcp_hitl.store.sqlite.read_only import glance
from mcp_hitl.store.sqlite.schema import MIGRATIONS

_TABLES = (
    "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' "
    "ESCAPE '\\'"
)
_COLUMNS = "SELECT name, type = 'INTEGER' AND pk = 1 FROM pragma_table_xinfo(?) WHERE hidden = 0"


class SqliteEnd:
    """An `End` that is a file."""

    def __init__(self, location: Location, *, source: bool) -> None:
        """Open nothing yet. A target need not exist."""
        assert location.file is not None
        self.name = str(location)
        self._path = Path(os.path.realpath(location.file))
        self.place = str(self._path)
        self._source = source
        self._db: SqliteDatabase | None = None
        self._made = False

    @property
    def db(self) -> SqliteDatabase:
        """See `End.db`."""
        assert self._db is not None
        return self._db

    def begin(self) -> None:
        """See `End.begin`."""
        with self.guarded():
            if self._db is None:
                self._open()
            self.db.execute("BEGIN IMMEDIATE")
            self.db.execute("PRAGMA defer_foreign_keys = ON")
            self.tx = SqlTransaction(self.db)
            self.tx.log.kept = kept_head(self._path)
            if not self._source and version_of(self.db) == 0:
                take_steps(self.db)

    def tables(self) -> Mapping[str, frozenset[str]]:
        """See `End.tables`."""
        with self.guarded():
            return {name: self._columns(name, bare=bool(bare)) for name, bare in self.db.execute(_TABLES)}

    def rows(self, table: str, columns: list[str]) -> Iterator[list[tuple[Any, ...]]]:
        """See `End.rows`."""
        with self.guarded():
            found = self.db.execute(f'SELECT {_listed(columns)} FROM "{table}"')
            while page := found.fetchmany(TOGETHER):
                yield page

    def insert(self, table: str, columns: list[str], rows: Rows) -> None:
        """See `End.insert`."""
        with self.guarded():
            places = ", ".join("?" for _ in columns)
            for page in rows:
                self.db.executemany(f'INSERT INTO "{table}" ({_listed(columns)}) VALUES ({places})', page)

    def commit(self) -> None:
        """See `End.commit`."""
        with self.guarded():
            self.db.execute(COUNT)
            head = self.tx.log.head()
            made, self._made = self._made, False  # as long as nobody knows what is in it
            try:
                commit(self.db)
            except sqlite3.Error:
                self._made = made
                raise
        kept = KeptHead(self._path)
        kept.keep(head, after=self.tx.log.kept)
        kept.close()

    def close(self) -> None:
        """See `End.close`."""
        if self._db is not None:
            self._db.close()
        if self._made:
            self._path.unlink(missing_ok=True)

    def _open(self) -> None:
        refuse_second_name(self._path)
        if self._source:
            if not self._path.exists():
                raise Invalid(f"There is no database at {self.name}, so there is nothing to move.")
            with closing(prepare(self._path, leaving=True)):
                # While it is as it was found: a log beside it may say that it is an older copy.
                if glance(self._path, lambda view: view.log.lost()) is not None:
                    raise Unavailable(f"{self.name} is an older copy that was put back. Run “mcp-hitl doctor” on it.")
        else:
            self._made = not self._path.exists()
            make_private(self._path)
        self._db = connect(self._path)
        keep_alone(self._db, self._path, "move")
        if not self._source:
            self._refuse_what_is_there()

    def _refuse_what_is_there(self) -> None:
        version, whose = version_of(self.db), self.db.execute("PRAGMA application_id").fetchone()[0]
        if version and whose != APPLICATION_ID:
            raise Invalid(f"{self.name} is another program's database. Name another file; nothing was changed.")
        if version not in (0, len(MIGRATIONS)):
            raise Invalid(
                f"{self.name} was made by another version of this program. Name another file; nothing was changed."
            )

    def _columns(self, table: str, *, bare: bool) -> frozenset[str]:
        found = self.db.execute(_COLUMNS, (table,)).fetchall()
        numbered = not bare and not any(is_number for _, is_number in found)
        return frozenset([name for name, _ in found] + (["rowid"] if numbered else []))

    @contextmanager
    def guarded(self) -> Generator[None]:
        """See `End.guarded`."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(
                f"The move stopped at {self.name} ({error}). Nothing was moved. {what_next(error)}"
            ) from error


def _listed(columns: list[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
