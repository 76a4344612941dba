"""A clean stop: waiting calls are answered, then the process ends, within seconds."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCResponse, RequestId

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
        return _Watched(stream, self._answered)

    async def drain(self) -> None:
        """Return when every request is answered, or after `GRACE_SECONDS`."""
        with anyio.move_on_after(GRACE_SECONDS):
            while self._requests:
                await self._fewer.wait()

    def _answered(self, request: RequestId) -> None:
        self._requests.discard(request)
        self._fewer.set()
        self._fewer = anyio.Event()


class _Watched:
    """A stream that reports each answer once the transport has taken it."""

    def __init__(self, stream: Any, answered: Callable[[RequestId], None]) -> None:
        self._stream = stream
        self._tell = answered

    async def send(self, item: SessionMessage, /) -> None:
        await self._stream.send(item)
        if isinstance(item.message, JSONRPCResponse | JSONRPCError) and item.message.id is not None:
            self._tell(item.message.id)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> "_Watched":
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        return await self._stream.__aexit__(exc_type, exc_val, exc_tb)
