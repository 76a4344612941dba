"""MCP on stdin and stdout, for clients that start the server themselves."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import anyio
from mcp.server.stdio import stdio_server

from mcp_hitl.server.app import ApprovalServer
from mcp_hitl.server.signals import on_signals
from mcp_hitl.server.stopping import GRACE_SECONDS, Unanswered

_READ = 65_536
_AHEAD = 64
"""Lines read before they are served; then the client's writes wait."""


_LEAVE_SECONDS = GRACE_SECONDS + 0.3
"""From the stop on: a client that takes no answers is left then."""


async def serve_stdio(server: ApprovalServer) -> bool:
    """Serve until the client closes our input or the process is told to stop; then answer who waits, and return.

    Returns False where the client does not read: a thread is blocked in writing to it, which cannot be cancelled, so
    that only `os._exit` ends the process.
    """
    unanswered = Unanswered()
    server.add_middleware([unanswered])

    async def finish() -> None:
        server.stop()
        await unanswered.drain()

    lines = _Lines(os.dup(sys.stdin.fileno()), finish)

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
            await serving
            return True
        finally:
            ending.cancel()
            serving.cancel()


class _Lines:
    """The lines of a file descriptor, which can be ended while a read is blocked.

    A thread of its own does the reading and is left behind blocked when the process ends: reads of a pipe cannot be
    cancelled, and a stop must not wait for the client to write.
    """

    def __init__(self, descriptor: int, finish: Callable[[], Awaitable[None]]) -> None:
        """Read `descriptor`; `finish` is awaited before the last line counts as the last."""
        self._descriptor = descriptor
        self._finish = finish
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self.ending = asyncio.Event()
        """Set once there will be no more lines."""
        self._room = threading.Semaphore(_AHEAD)

    def __aiter__(self) -> AsyncIterator[str]:
        threading.Thread(target=self._read, name="mcp-hitl stdin", daemon=True).start()
        return self._iterate()

    def end(self) -> None:
        """Let the iteration end now."""
        self.ending.set()
        self._lines.put_nowait(None)

    async def _iterate(self) -> AsyncIterator[str]:
        while (line := await self._lines.get()) is not None:
            self._room.release()
            yield line
        await self._finish()

    def _read(self) -> None:
        held = bytearray()
        while chunk := self._next_chunk():
            held += chunk
            if b"\n" not in chunk:
                continue
            *whole, rest = held.split(b"\n")
            held = bytearray(rest)
            for line in whole:
                self._room.acquire()
                self._call(self._lines.put_nowait, line.decode(errors="replace"))
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


def is_person(stream: Any) -> bool:
    """Whether a standard stream is a terminal rather than a client's pipe."""
    return bool(stream.isatty())
