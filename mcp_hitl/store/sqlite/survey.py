"""A survey of the file: a long read with its own connection and snapshot."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any, Generic, TypeVar

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.batches import closed
from mcp_hitl.store.sql.transaction import SqlTransaction
from mcp_hitl.store.sqlite.connection import check_version, connect
from mcp_hitl.store.sqlite.database import SqliteDatabase
from mcp_hitl.store.sqlite.kept_head import kept_head
from mcp_hitl.store.sqlite.place import Place
from mcp_hitl.store.view import View

T = TypeVar("T")

_STEPS = 100_000
"""SQLite's virtual machine runs this many steps between two checks whether to continue."""


class SqliteSurvey(Generic[T]):
    """A `Survey` of the file."""

    def __init__(self, place: Place, work: Callable[[View], T]) -> None:
        """Prepare without opening anything."""
        self._place = place
        self._work = work
        self._ended = False

    def run(self) -> T:
        """See `Survey.run`."""
        if self._ended:
            raise closed()
        self._place.check()
        with closing(connect(self._place.path, _Endable)) as db:
            db.end_when(lambda: self._ended)
            try:
                db.execute("PRAGMA query_only = ON")
                view = SqlTransaction(db)
                view.log.kept = kept_head(self._place.path)
                db.execute("BEGIN")
                check_version(db)
                result = self._work(view)
            except sqlite3.Error as error:
                raise closed() if self._ended else Unavailable(f"The database cannot be read now: {error}.") from error
        self._place.check()
        return result

    def end(self) -> None:
        """See `Survey.end`."""
        self._ended = True


class _Endable(SqliteDatabase):
    """A connection that checks whether to continue: before each statement, and every few milliseconds within one.

    `sqlite3_interrupt` from another thread would only end a statement that runs at that very moment.
    """

    _ended: Callable[[], bool] | None = None

    def end_when(self, ended: Callable[[], bool]) -> None:
        self._ended = ended
        self.set_progress_handler(ended, _STEPS)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self._ended is not None and self._ended():
            raise sqlite3.OperationalError("interrupted")
        return super().execute(sql, parameters)
