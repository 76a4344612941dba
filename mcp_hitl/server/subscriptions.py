"""Change notifications for resources, on every revision, for changes made by any process.

All notifications come from the desk's feed, which is read only while somebody has subscribed: on 2026-07-28 with an
open `subscriptions/listen` stream, before that with `resources/subscribe` on a connection.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from mcp_hitl.desk import Desk
from mcp_hitl.desk.feed import ANY
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.protocols.mcp.callers import Identify
from mcp_hitl.server.resources import is_ours, uris_of

logger = logging.getLogger(__name__)

MOST_PER_CONNECTION = 1_000
_PAUSE_AFTER_FAILURE = 1.0


@dataclass(slots=True)
class _Subscriptions:
    """The subscriptions of one connection. Each belongs to the principal who made it, and nobody else ends it."""

    session: ServerSession
    uris: dict[Principal, set[str]] = field(default_factory=dict[Principal, set[str]])
    untold: dict[str, None] = field(default_factory=dict[str, None])
    """What changed and the client was not told yet, in order. A client that does not read is told of each once."""
    telling: bool = False
    """Whether `tell` runs."""

    def count(self) -> int:
        return sum(map(len, self.uris.values()))

    def wants(self, uri: str) -> bool:
        return any(uri in uris for uris in self.uris.values())

    async def tell(self) -> None:
        """Send what was not told yet, and what comes to it meanwhile."""
        while self.untold:
            uri = next(iter(self.untold))
            del self.untold[uri]
            try:
                await self.session.send_resource_updated(uri)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                logger.debug("a connection closed before a notification was sent")
        self.telling = False


class Notices:
    """Turns the desk's feed into `notifications/resources/updated` for subscribers."""

    def __init__(self, desk: Desk, identify: Identify) -> None:
        """Prepare to follow `desk`; `run` does the work, and `identify` says whose each subscription is."""
        self._desk = desk
        self._identify = identify
        self._bus = InMemorySubscriptionBus()
        self._handler = ListenHandler(self._bus)
        self._streams = 0
        self._connections: dict[int, _Subscriptions] = {}
        self._changed: dict[str, None] = {}
        self._stirred = anyio.Event()
        self._following = anyio.Event()

    async def listen(
        self, context: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve `subscriptions/listen` of 2026-07-28; each call is one stream."""
        self._identify(context)
        self._streams += 1
        try:
            await self._follow()
            return await self._handler(context, params)
        finally:
            self._streams -= 1
            self._stirred.set()

    def close(self) -> None:
        """End every stream with its result."""
        self._handler.close()

    async def subscribe_connection(
        self, context: ServerRequestContext[Any, Any], params: SubscribeRequestParams
    ) -> EmptyResult:
        """Serve `resources/subscribe` of the older revisions."""
        uri = str(params.uri)
        if not is_ours(uri):
            raise MCPError(code=INVALID_PARAMS, message="No such resource.", data={"uri": uri})
        caller = self._identify(context)
        # The connection is where a subscription lives, and the session of a request has no public name for it.
        connection = context.session._connection  # pyright: ignore[reportPrivateUsage]
        key = id(connection)
        if key not in self._connections:
            self._connections[key] = _Subscriptions(context.session)
            connection.exit_stack.callback(self._forget, key)
        subscriptions = self._connections[key]
        if subscriptions.count() >= MOST_PER_CONNECTION:
            raise MCPError(code=INVALID_PARAMS, message="Too many subscriptions. Unsubscribe from some first.")
        subscriptions.uris.setdefault(caller, set()).add(uri)
        await self._follow()
        return EmptyResult()

    async def unsubscribe_connection(
        self, context: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        """Serve `resources/unsubscribe` of the older revisions."""
        key = id(context.session._connection)  # pyright: ignore[reportPrivateUsage]
        if key in self._connections:
            self._connections[key].uris.get(self._identify(context), set[str]()).discard(str(params.uri))
        return EmptyResult()

    async def run(self) -> None:
        """Send notifications until cancelled."""
        async with anyio.create_task_group() as tasks:
            await self._run(tasks)

    async def _run(self, tasks: TaskGroup) -> None:
        while True:
            await self._next_stir()
            try:
                if self._anybody():
                    async with self._desk.feed.listen(ANY, self._note):
                        while self._anybody():
                            self._following.set()
                            await self._send(tasks)
                            await self._next_stir()
            except Unavailable as error:
                logger.warning("the change feed cannot be read: %s", error)
                await anyio.sleep(_PAUSE_AFTER_FAILURE)
                self._stirred.set()
            if self._following.is_set():
                self._following = anyio.Event()
            self._changed.clear()

    async def _follow(self) -> None:
        """Return once every later change will be noticed. Only then may a subscription be confirmed."""
        self._stirred.set()
        await self._following.wait()

    def _anybody(self) -> bool:
        return self._streams > 0 or bool(self._connections)

    def _forget(self, key: int) -> None:
        del self._connections[key]
        self._stirred.set()

    def _note(self, approval_id: str) -> None:
        self._changed[approval_id] = None
        self._stirred.set()

    async def _next_stir(self) -> None:
        await self._stirred.wait()
        self._stirred = anyio.Event()

    async def _send(self, tasks: TaskGroup) -> None:
        changed, self._changed = self._changed, {}
        uris = dict.fromkeys(uri for approval_id in changed for uri in uris_of(approval_id))
        for uri in uris:
            await self._bus.publish(ResourceUpdated(uri))
        for subscriptions in list(self._connections.values()):
            subscriptions.untold |= {uri: None for uri in uris if subscriptions.wants(uri)}
            if subscriptions.untold and not subscriptions.telling:
                subscriptions.telling = True
                tasks.start_soon(subscriptions.tell)  # by itself: a client that does not read keeps no other waiting
