"""What a client has not been answered yet, or has not read.

A clean stop answers waiting calls before the process ends, within seconds; and a client that does not read gets no
further request in.
"""

from types import TracebackType
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCResponse, RequestId

MOST_UNREAD = 64
"""The most messages that a client may leave unread, and the most that it may send while it reads nothing."""
GRACE_SECONDS = 2.0
"""How long requests in progress may take to finish after a stop."""


class Unanswered:
    """The requests of one connection that have no answer on the wire yet.

    It is middleware for incoming messages and, through `watch`, for outgoing ones. A handler that has returned is not
    enough: the transport takes one message at a time, and at the end of input it drops messages that are still queued.
    """

    def __init__(self) -> None:
        """Start without requests."""
        self._requests: set[RequestId] = set()
        self._fewer = anyio.Event()
        self._unread = 0
        """The messages that wait for the transport, which waits for the client."""
        self._came = 0
        """The messages that came since it took one."""
        self._holds = True

    async def room(self) -> None:
        """Call this for each message from the client: it returns once the client reads what we say."""
        self._came += 1
        while self._holds and self._unread and max(self._unread, self._came) > MOST_UNREAD:
            await self._fewer.wait()

    def let_in(self) -> None:
        """Hold no message back any more, because this connection ends."""
        self._holds = False
        self._wake()

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Serve one message, and remember its request until it is answered."""
        if ctx.request_id is None:
            return await call_next(ctx)
        self._requests.add(ctx.request_id)
        try:
            return await call_next(ctx)
        except anyio.get_cancelled_exc_class():
            self._answered(ctx.request_id)  # the client took it back: no answer follows
            raise

    def watch(self, stream: Any) -> "_Watched":
        """Return the transport's output stream, wrapped so that we know which answers it has taken."""
        return _Watched(stream, self)

    async def drain(self) -> None:
        """Return when every request is answered, or after `GRACE_SECONDS`."""
        with anyio.move_on_after(GRACE_SECONDS):
            while self._requests:
                await self._fewer.wait()

    async def hand_over(self, stream: Any, item: SessionMessage) -> None:
        """Send a message to the transport, and note when it has taken it."""
        self._unread += 1
        try:
            await stream.send(item)
            self._came = 0
        finally:
            self._unread -= 1
            self._wake()
        if isinstance(item.message, JSONRPCResponse | JSONRPCError) and item.message.id is not None:
            self._answered(item.message.id)

    def _answered(self, request: RequestId) -> None:
        self._requests.discard(request)
        self._wake()

    def _wake(self) -> None:
        self._fewer.set()
        self._fewer = anyio.Event()


class _Watched:
    """A stream that reports each answer once the transport has taken it."""

    def __init__(self, stream: Any, unanswered: Unanswered) -> None:
        self._stream = stream
        self._unanswered = unanswered

    async def send(self, item: SessionMessage, /) -> None:
        await self._unanswered.hand_over(self._stream, item)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> "_Watched":
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        return await self._stream.__aexit__(exc_type, exc_val, exc_tb)
