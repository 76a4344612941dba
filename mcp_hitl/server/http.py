"""MCP over streamable HTTP at `/mcp`, with `/healthz` and `/readyz`, on loopback."""

import contextlib
import re
import signal
import socket
from collections.abc import Callable, Generator

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_hitl.domain.errors import HitlError
from mcp_hitl.server.app import ApprovalServer
from mcp_hitl.server.stopping import on_signals

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LOOPBACK_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
_DRAIN_SECONDS = 1


async def serve_http(server: ApprovalServer, host: str, port: int, *, ready: Callable[[str], None]) -> bool:
    """Serve until the process is told to stop; `ready` is called with the endpoint's URL once it can be reached.

    Returns False where the address could not be taken.
    """
    config = uvicorn.Config(
        http_app(server),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    http = _Http(config, lambda: ready(_endpoint(http)))

    def stop() -> None:
        server.stop()
        # Also tells the open event streams of the older revisions.
        http.handle_exit(signal.SIGTERM, None)

    with on_signals(stop), contextlib.suppress(SystemExit):
        await http.serve()
    return http.started


def http_app(server: ApprovalServer) -> ASGIApp:
    """The application: the protocol's endpoint and the two probes, for requests that really mean this machine."""

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        try:
            await server.desk.counter()
        except HitlError as error:
            return JSONResponse({"status": "unavailable", "message": str(error)}, status_code=503)
        return JSONResponse({"status": "ok"})

    hosts = [f"[{host}]" if ":" in host else host for host in LOOPBACK]
    app = server.mcp.streamable_http_app(
        transport_security=TransportSecuritySettings(
            allowed_hosts=[*hosts, *(f"{host}:*" for host in hosts)],
            allowed_origins=[f"http://{host}{port}" for host in hosts for port in ("", ":*")],
        ),
        custom_starlette_routes=[Route("/healthz", healthz), Route("/readyz", readyz)],
    )
    return _OnLoopback(app)


class _OnLoopback:
    """Refuses a Host other than this machine's on every route: DNS rebinding (THREATS T31)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _names_loopback(scope):
            await PlainTextResponse("Invalid Host header", status_code=421)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _names_loopback(scope: Scope) -> bool:
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return len(hosts) == 1 and _LOOPBACK_HOST.fullmatch(hosts[0]) is not None


class _Http(uvicorn.Server):
    """uvicorn, with the signals left to us and a word when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _endpoint(http: _Http) -> str:
    host, port = http.servers[0].sockets[0].getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/mcp"
