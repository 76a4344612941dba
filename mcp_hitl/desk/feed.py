"""The change feed: one reader of the audit log per process, shared by everybody who waits."""

import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager

import anyio

from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.store import Store

logger = logging.getLogger(__name__)

ANY = "*"
"""The topic for listeners who want the changes of every approval."""
_AT_ONCE = 500
_PAUSE_AFTER_FAILURE = 1.0

Listener = Callable[[str], None]


class Feed:
    """Calls listeners, by approval id, when an audit entry was committed, here or in another process.

    It reads nothing while nobody listens. For each change it reads once, however many listeners there are.
    """

    def __init__(self, store: Store) -> None:
        """Read from `store`; `run` does the reading."""
        self._store = store
        self._listeners: defaultdict[str, list[tuple[Listener, Collection[str] | None]]] = defaultdict(list)
        self._count = 0
        self._seq = 0
        self._starting = anyio.Lock()
        self._wanted = anyio.Event()
        self._reading = anyio.CancelScope()

    async def run(self) -> None:
        """Read the feed until cancelled."""
        while True:
            await self._wanted.wait()
            if not self._wanted.is_set():
                continue  # who wanted it has left already
            with anyio.CancelScope() as self._reading:
                await self._follow()

    @asynccontextmanager
    async def listen(
        self, topic: str, listener: Listener, *, events: Collection[Event] | None = None
    ) -> AsyncGenerator[None]:
        """Call `listener` with the id of each approval of `topic` (an id, or `ANY`) that changes from now on.

        With `events`, only for these events.
        """
        wish = (listener, events)
        self._listeners[topic].append(wish)
        self._count += 1
        try:
            if not self._wanted.is_set():
                await self._start()
            yield
        finally:
            self._listeners[topic].remove(wish)
            if not self._listeners[topic]:
                del self._listeners[topic]
            self._count -= 1
            if self._count == 0 and self._wanted.is_set():
                # Only then: `run` waits for the very event that the next listener will set.
                self._wanted = anyio.Event()
                self._reading.cancel()

    async def _start(self) -> None:
        async with self._starting:
            if not self._wanted.is_set():
                self._seq = await self._store.read(lambda view: view.log.last_seq())
                self._wanted.set()

    def stir(self) -> None:
        """Call every listener of a single approval as if it had changed, so that each checks its state again."""
        for topic in [topic for topic in self._listeners if topic != ANY]:
            for listener, _ in list(self._listeners[topic]):
                listener(topic)

    async def _follow(self) -> None:
        while True:
            try:
                news = await self._store.read(lambda view: view.log.news(self._seq, _AT_ONCE))
                for seq, approval_id, event in news:
                    self._seq = seq
                    self._tell(approval_id, event)
                if len(news) < _AT_ONCE:
                    await self._store.changed()
            except Unavailable as error:
                logger.warning("the change feed cannot be read: %s", error)
                await anyio.sleep(_PAUSE_AFTER_FAILURE)

    def _tell(self, approval_id: str, event: str) -> None:
        for topic in (approval_id, ANY):
            for listener, events in list(self._listeners.get(topic, ())):
                if events is None or event in events:
                    listener(approval_id)
