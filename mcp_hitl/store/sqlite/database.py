"""A connection to SQLite that takes the statements of `store/sql`."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from mcp_hitl.store.sql.database import Database, Words


class SqliteDatabase(sqlite3.Connection):
    """The connection, with the words of SQLite."""

    @property
    def words(self) -> Words:
        """See `Database.words`."""
        return _WORDS

    def accept_place(self) -> None:
        """See `Database.accept_place`. What is known of a place is beside the file."""

    def fetched(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """See `Database.fetched`."""
        try:
            return self.execute(sql, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
        self.text_factory = _leniently
        try:
            return self.execute(sql, parameters).fetchall()
        finally:
            self.text_factory = str


def _leniently(held: bytes) -> str:
    return held.decode(errors="surrogateescape")


def _fault(db: Database) -> str | None:
    # Imported late: only who verifies asks.
    from mcp_hitl.store.sqlite.soundness import fault_in

    return fault_in(db)


_WORDS = Words(name="sqlite", rows_as_list="json_group_array(json_array({}))", fault=_fault)
