"""Surveys: long reads, each with its own connection and snapshot, so that they delay nobody."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Generic, TypeVar

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.sqlite.connection import check_version, connect
from mcp_hitl.store.sqlite.kept_head import kept_head
from mcp_hitl.store.sqlite.place import Place
from mcp_hitl.store.sqlite.transaction import SqliteTransaction

T = TypeVar("T")

MOST_AT_ONCE = 4
"""The most surveys that run at the same time; others wait for their turn."""
_STEPS = 100_000
"""SQLite's virtual machine runs this many steps between two checks whether to continue."""


class Surveys:
    """The surveys of one store."""

    def __init__(self, place: Place) -> None:
        """Prepare without opening anything, since most processes never run a survey."""
        self._place = place
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="mcp-hitl survey")
        self._going: set[_Survey[Any]] = set()
        self._finishing = False
        self._door = threading.Lock()

    async def call(self, work: Callable[[SqliteTransaction], T]) -> T:
        """Run `work` in its own thread. If cancelled, it ends within milliseconds of SQLite's work.

        Raises:
            Unavailable: the file cannot be read, or `finish` was called.
        """
        survey = _Survey(self._place, work)
        with self._door:
            if self._finishing:
                raise _closed()
            self._going.add(survey)
            future = self._threads.submit(survey.run)
        future.add_done_callback(lambda _: self._going.discard(survey))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            survey.end()
            raise

    def end(self) -> None:
        """End all surveys early, and refuse new ones."""
        with self._door:
            self._finishing = True
        for survey in self._going.copy():
            survey.end()

    def finish(self) -> None:
        """End all surveys, and return when every connection is closed."""
        self.end()
        self._threads.shutdown()


class _Survey(Generic[T]):
    def __init__(self, place: Place, work: Callable[[SqliteTransaction], T]) -> None:
        self._place = place
        self._work = work
        self._ended = False

    def run(self) -> T:
        """Open, read and close, in the survey's thread."""
        if self._ended:
            raise _closed()
        self._place.check()
        with closing(connect(self._place.path, _Endable)) as db:
            db.end_when(lambda: self._ended)
            try:
                db.execute("PRAGMA query_only = ON")
                view = SqliteTransaction(db)
                view.log.kept = kept_head(self._place.path)
                db.execute("BEGIN")
                check_version(db)
                result = self._work(view)
            except sqlite3.Error as error:
                raise _closed() if self._ended else Unavailable(f"The database cannot be read now: {error}.") from error
        self._place.check()
        return result

    def end(self) -> None:
        """End it early; called from another thread."""
        self._ended = True


class _Endable(sqlite3.Connection):
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


def _closed() -> Unavailable:
    return Unavailable("The database is closed; the server is stopping. Nothing was changed.")
