"""A clean stop: those who wait are answered, then the process ends, within seconds."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

GRACE_SECONDS = 2.0
"""How long requests that are being served may take to finish after a stop."""


@contextmanager
def on_signals(stop: Callable[[], None]) -> Generator[None]:
    """Call `stop` on the running event loop at SIGTERM or SIGINT; works wherever Python has signals at all."""
    loop = asyncio.get_running_loop()

    def handle(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)

    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, handle) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


class InFlight:
    """Middleware that knows how many requests are being served."""

    def __init__(self) -> None:
        """Nothing is being served yet."""
        self._count = 0
        self._idle = anyio.Event()

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Serve one message."""
        self._count += 1
        try:
            return await call_next(ctx)
        finally:
            self._count -= 1
            if self._count == 0:
                self._idle.set()
                self._idle = anyio.Event()

    async def drain(self) -> None:
        """Return when nothing is being served, or after `GRACE_SECONDS`."""
        with anyio.move_on_after(GRACE_SECONDS):
            while self._count:
                await self._idle.wait()
