"""MCP on stdin and stdout, for clients that start the server themselves."""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol, cast

import anyio
from mcp.server.context import ServerMiddleware
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from mcp_hitl.process.os_signals import on_signals
from mcp_hitl.protocols.mcp.shutdown import GRACE_SECONDS, Unanswered

logger = logging.getLogger(__name__)

_READ = 65_536
MOST_BYTES = 4 * 1024 * 1024
"""The longest message that is read, as over HTTP."""
_AHEAD = 64
"""The most lines read ahead of serving; after that the client has to wait before it can write more."""


_LEAVE_SECONDS = GRACE_SECONDS + 0.3
"""Counted from the stop on. After this time we leave a client that reads no answers."""


class Served(Protocol):
    """A server for one connection."""

    mcp: Server[None]

    def add_middleware(self, middleware: Sequence[ServerMiddleware[Any]]) -> None:
        """Wrap every message from the client in these handlers."""
        ...

    def stop(self) -> None:
        """Answer every waiting call and end every listening stream, each with its proper result."""
        ...


async def serve_stdio(server: Served) -> bool:
    """Serve until the client closes our input or output, or the process is asked to stop.

    Then answer waiting calls, if the client can still read, and return. Return False if the client does not read. Then
    a thread is blocked in writing to it and cannot be cancelled, so only `os._exit` ends the process.
    """
    unanswered = Unanswered()
    server.add_middleware([unanswered])

    async def finish() -> None:
        server.stop()
        await unanswered.drain()

    lines = _Lines(os.dup(sys.stdin.fileno()), unanswered, finish)

    async def transport() -> None:
        # The transport iterates over its input, and over nothing else.
        async with stdio_server(stdin=cast("anyio.AsyncFile[str]", lines)) as (read, write):
            await server.mcp.run(read, unanswered.watch(write), server.mcp.create_initialization_options())

    with on_signals(lines.end):
        # A task of its own, which can be left behind.
        serving = asyncio.create_task(transport())
        ending = asyncio.create_task(lines.ending.wait())
        try:
            await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({serving}, timeout=_LEAVE_SECONDS)
            if not serving.done():
                server.stop()
                return False
            try:
                await serving
            except* ConnectionError:
                logger.info("the client has closed its end of our output")
            return True
        finally:
            ending.cancel()
            serving.cancel()


class _Lines:
    """The lines of a file descriptor. Reading can be ended even while it is blocked.

    A separate thread does the reading and stays blocked when the process ends: reads of a pipe cannot be cancelled, and
    a stop must not wait until the client writes.
    """

    def __init__(self, descriptor: int, unanswered: Unanswered, finish: Callable[[], Awaitable[None]]) -> None:
        """Read `descriptor` as long as `unanswered` has room; `finish` is awaited before the iteration ends."""
        self._descriptor = descriptor
        self._unanswered = unanswered
        self._finish = finish
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self.ending = asyncio.Event()
        """Set when no more lines will come."""
        self._room = threading.Semaphore(_AHEAD)

    def __aiter__(self) -> AsyncIterator[str]:
        threading.Thread(target=self._read, name="mcp-hitl stdin", daemon=True).start()
        return self._iterate()

    def end(self) -> None:
        """End the iteration now."""
        self.ending.set()
        self._unanswered.let_in()
        self._lines.put_nowait(None)

    async def _iterate(self) -> AsyncIterator[str]:
        while (line := await self._lines.get()) is not None:
            await self._unanswered.room()
            self._room.release()
            yield line
        await self._finish()

    def _read(self) -> None:
        held, too_long = bytearray(), False
        while chunk := self._next_chunk():
            held += chunk
            *whole, rest = held.split(b"\n") if b"\n" in chunk else (held,)
            for line in whole:
                if too_long or len(line) > MOST_BYTES:
                    logger.warning("a message of the client was not read: it has more than %d bytes", MOST_BYTES)
                    too_long = False
                    continue
                self._room.acquire()
                self._call(self._lines.put_nowait, line.decode(errors="replace"))
            too_long = too_long or len(rest) > MOST_BYTES
            held = bytearray() if too_long else bytearray(rest) if whole else held
        self._call(self.end)

    def _next_chunk(self) -> bytes:
        try:
            return os.read(self._descriptor, _READ)
        except OSError:
            return b""

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass  # the loop has ended, and with it the serving
