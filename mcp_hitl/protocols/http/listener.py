"""Listening on an address of this machine, with the signals and the stop left to the caller."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from types import FrameType

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp

from mcp_hitl.domain.values.beats import next_beat
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.protocols.http.connections import Connection
from mcp_hitl.protocols.http.headers import SafeHeaders
from mcp_hitl.protocols.http.loopback import OnLoopback
from mcp_hitl.protocols.http.sockets import close, listening

_DRAIN_SECONDS = 1
_TICK_SECONDS = 1.0


class Listener:
    """An HTTP server for requests that really mean this machine."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        ready: Callable[[Origin], None],
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        """Serve `app`; `ready` is called with the address, such as `http://localhost:8765`, once it can be reached.

        `sockets` are those that have the port already, if any; `run` closes them.
        """
        self.address = Origin("http", host, port)
        """Where it listens; the port is known once `run` has taken one."""
        config = uvicorn.Config(
            SafeHeaders(OnLoopback(app, lambda: self.address)),
            http=Connection,
            ws="none",
            proxy_headers=False,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        self._http = _Http(config, lambda: ready(self.address))
        self.refusal: OSError | None = None
        """Why the address could not be taken."""
        self._sockets = list(sockets)
        self._over = False

    async def run(self) -> bool:
        """Serve until `stop`, and leave no connection behind; False where the address could not be taken."""
        try:
            sockets = self._sockets or listening(self.address.host, self.address.port)
        except OSError as error:
            self.refusal = error
            self._over = True
            return False
        self.address = replace(self.address, port=sockets[0].getsockname()[1])
        try:
            with contextlib.suppress(SystemExit):
                await self._http.serve(sockets)
        finally:
            close(sockets)
            self._http.cut()
            if self._http.should_exit:
                AppStatus.should_exit = False  # it has ended our streams, and would end those of the next listener
            self._over = True
        return self._http.started

    def stop(self) -> None:
        """Take no more requests, and end event streams too."""
        if self._over:
            return  # the word to end event streams goes to the whole process
        self._http.handle_exit(signal.SIGTERM, None)


class _Http(uvicorn.Server):
    """uvicorn, with the signals left to us and a word when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._told_to_end = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._told_to_end.set()

    async def main_loop(self) -> None:
        # uvicorn's own wakes ten times a second, for the date in its answers and to see whether it should end.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_beat(asyncio.get_running_loop().time(), _TICK_SECONDS)):
                    await self._told_to_end.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        # What was accepted a moment ago is a connection on the next turn of the loop only, and would never be told.
        await asyncio.sleep(0)
        await super().shutdown(sockets)

    def cut(self) -> None:
        """End what is left of the connections.

        A browser would go on with them whoever listens on the port now, and ask an application that has ended.
        """
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
