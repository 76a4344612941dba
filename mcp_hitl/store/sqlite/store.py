"""The store in one SQLite file: a thread for writes, a thread for reads, surveys, and a watch for others' commits."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.batches import Batches
from mcp_hitl.store.sqlite.connection import prepare, scrub
from mcp_hitl.store.sqlite.files import shared_key
from mcp_hitl.store.sqlite.footing import share, unshare
from mcp_hitl.store.sqlite.place import Place
from mcp_hitl.store.sqlite.session import SqliteSession
from mcp_hitl.store.sqlite.survey import SqliteSurvey
from mcp_hitl.store.surveys import Surveys
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

if TYPE_CHECKING:
    from mcp_hitl.store.sqlite.locks import Locks

T = TypeVar("T")

_CHECK_SECONDS = 0.25
"""How often a waiting process looks whether the path still leads to the open file; every read and write looks too."""
WATCH_SECONDS = 0.025
"""How often a waiting process checks whether another has committed; one check takes microseconds."""


class SqliteStore:
    """The `Store` protocol for a file that many processes may share."""

    def __init__(self, path: Path) -> None:
        """Open the file. Create it and migrate its schema if necessary.

        Raises:
            Unavailable: it cannot be opened or created, is not a database, or belongs to a newer version.
        """
        self._place = Place(path)
        self.path = self._place.path
        self._watch = prepare(self.path)
        self._shared: tuple[int, int] | None = share(self.path)
        self._data_version()  # from now on the log and its index last as long as we do
        self._place.remember()
        self._check_at = 0.0
        self._seen = self._version()
        self._commits: int = 0
        self._commits_seen: int = 0
        self._sleeper: tuple[asyncio.AbstractEventLoop, anyio.Event] | None = None
        self._writer = Batches(SqliteSession(self._place, writes=True, committed=self._announce), writes=True)
        self._reader = Batches(SqliteSession(self._place, writes=False), writes=False)
        self._locks: Locks | None = None
        self._surveys = Surveys(partial(SqliteSurvey, self._place))

    async def read(self, work: Callable[[View], T]) -> T:
        """See `Store.read`."""
        return await self._reader.call(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """See `Store.write`."""
        return await self._writer.call(work)

    async def survey(self, work: Callable[[View], T]) -> T:
        """See `Store.survey`."""
        return await self._surveys.call(work)

    async def scrub(self) -> bool:
        """See `Store.scrub`."""
        return self.gone() is None and await anyio.to_thread.run_sync(scrub, self.path)

    async def changed(self) -> None:
        """See `Store.changed`. It sees this process's commits at once, and others' within `WATCH_SECONDS`."""
        event = anyio.Event()
        self._sleeper = (asyncio.get_running_loop(), event)
        try:
            while self._version() == self._seen and self._commits == self._commits_seen:
                with anyio.move_on_after(WATCH_SECONDS):
                    await event.wait()
        finally:
            self._sleeper = None
        self._commits_seen, self._seen = self._commits, self._version()

    def gone(self) -> str | None:
        """See `Store.gone`."""
        return self._place.gone()

    def hold(self, name: str) -> bool:
        """See `Store.hold`."""
        return self._own_locks().hold(name)

    def hold_one_of(self, name: str) -> str:
        """See `Store.hold_one_of`."""
        try:
            return self._own_locks().hold_one_of(name)
        except OSError as error:
            raise Unavailable(f"A lock next to the database cannot be taken: {error}.") from error

    def let_go(self, name: str) -> None:
        """See `Store.let_go`."""
        self._own_locks().let_go(name)

    def is_held(self, name: str) -> bool:
        """See `Store.is_held`."""
        return self._own_locks().is_held(name)

    def machine(self) -> str | None:
        """See `Store.machine`."""

    def hurry(self) -> None:
        """See `Store.hurry`."""
        self._writer.hurry()
        self._reader.hurry()

    async def close(self) -> None:
        """See `Store.close`."""
        self._surveys.end()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._surveys.finish)
            await anyio.to_thread.run_sync(self._writer.finish)
            await anyio.to_thread.run_sync(self._reader.finish)
        if self._locks is not None:
            self._locks.close()
        self._watch.close()
        if self._shared is not None:
            unshare(self._shared)
            self._shared = None

    def shared_key(self) -> bytes:
        """See `Store.shared_key`. It is in a file next to the database."""
        try:
            return shared_key(self.path)
        except OSError as error:
            raise Unavailable(f"The key file next to the database cannot be used: {error}.") from error

    def _own_locks(self) -> "Locks":
        if self._locks is None:
            # Imported late: most commands of the terminal hold nothing.
            from mcp_hitl.store.sqlite.locks import Locks

            self._locks = Locks(self.path)
        return self._locks

    def _announce(self) -> None:
        self._commits += 1
        sleeper = self._sleeper
        if sleeper is not None:
            loop, event = sleeper
            with suppress(RuntimeError):  # the loop closed meanwhile, so nobody waits
                loop.call_soon_threadsafe(event.set)

    def _version(self) -> int:
        if (now := time.monotonic()) >= self._check_at:
            self._place.check()
            self._check_at = now + _CHECK_SECONDS
        return self._data_version()

    def _data_version(self) -> int:
        try:
            return self._watch.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            raise Unavailable(f"The database cannot be watched: {error}.") from error
