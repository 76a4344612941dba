"""Listening on an address of this machine, with the signals and the stop left to the caller."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp

from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.http.loopback import OnLoopback

_DRAIN_SECONDS = 1


class Listener:
    """An HTTP server for requests that really mean this machine."""

    def __init__(self, app: ASGIApp, host: str, port: int, *, ready: Callable[[Origin], None]) -> None:
        """Serve `app`; `ready` is called with the address, such as `http://127.0.0.1:8765`, once it can be reached."""
        config = uvicorn.Config(
            OnLoopback(app),
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        self._http = _Http(config, lambda: ready(self.address))
        self._over = False

    async def run(self) -> bool:
        """Serve until `stop`, and leave no connection behind; False where the address could not be taken."""
        try:
            with contextlib.suppress(SystemExit):
                await self._http.serve()
        finally:
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

    @property
    def address(self) -> Origin:
        """Where it listens."""
        host, port = self._http.servers[0].sockets[0].getsockname()[:2]
        return Origin("http", host, port)


class _Http(uvicorn.Server):
    """uvicorn, with the signals left to us and a word when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

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
