"""The store on a PostgreSQL server: a thread for writes, one for reads, surveys, and one that hears others' commits."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.batches import Batches
from mcp_hitl.store.postgres.locks import Locks
from mcp_hitl.store.postgres.machine import this_machine
from mcp_hitl.store.postgres.migrating import prepare
from mcp_hitl.store.postgres.session import Known, PostgresSession
from mcp_hitl.store.postgres.survey import PostgresSurvey
from mcp_hitl.store.postgres.watch import Watch
from mcp_hitl.store.surveys import Surveys
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

T = TypeVar("T")


class PostgresStore:
    """The `Store` protocol for a database that processes on many machines share.

    It has a connection for writes, one for reads, one that listens, one for each lock that it holds and one to look at
    locks, and up to four for surveys while there are any.
    """

    def __init__(self, url: str) -> None:
        """Connect. Create the schema, or bring it up to date, if necessary.

        Raises:
            Unavailable: the server cannot be reached, is too old, or the schema belongs to a newer version.
        """
        address = url
        prepare(address)
        known = Known(address)
        self._commits = 0
        self._commits_seen = 0
        self._sleeper: tuple[asyncio.AbstractEventLoop, anyio.Event] | None = None
        writes = PostgresSession(known, writes=True, committed=self._announce)
        reads = PostgresSession(known, writes=False)
        self._writer = Batches(writes, writes=True)
        self._reader = Batches(reads, writes=False)
        self._watch = Watch(address, heard=self._announce, sessions=(writes, reads))
        self._locks = Locks(address)
        self._surveys = Surveys(partial(PostgresSurvey, known))
        self._closing = threading.Lock()

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
        """See `Store.scrub`. The server's VACUUM removes what was erased; `docs/deploy.md` says when."""
        return True

    async def changed(self) -> None:
        """See `Store.changed`."""
        event = anyio.Event()
        self._sleeper = (asyncio.get_running_loop(), event)
        try:
            if self._commits == self._commits_seen:
                await event.wait()
        finally:
            self._sleeper = None
        self._commits_seen = self._commits

    def gone(self) -> str | None:
        """See `Store.gone`. A server that is away may come back; until then every call says so."""
        return None

    def hold(self, name: str) -> bool:
        """See `Store.hold`."""
        return self._locks.hold(name)

    def hold_one_of(self, name: str) -> str:
        """See `Store.hold_one_of`."""
        return self._locks.hold_one_of(name)

    def let_go(self, name: str) -> None:
        """See `Store.let_go`."""
        self._locks.let_go(name)

    def is_held(self, name: str) -> bool:
        """See `Store.is_held`."""
        return self._locks.is_held(name)

    def machine(self) -> str | None:
        """See `Store.machine`."""
        return this_machine()

    def shared_key(self) -> bytes:
        """See `Store.shared_key`. There is no place for it but the processes' own settings."""
        raise Unavailable(
            "Servers on a PostgreSQL database share a key that is not in it. Make one with "
            "“openssl rand -hex 32”, and set MCP_HITL_KEY to it for each of them."
        )

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
            await anyio.to_thread.run_sync(self._watch.end)
        self._locks.close()

    def _announce(self) -> None:
        self._commits += 1
        sleeper = self._sleeper
        if sleeper is not None:
            loop, event = sleeper
            with suppress(RuntimeError):  # the loop closed meanwhile, so nobody waits
                loop.call_soon_threadsafe(event.set)
