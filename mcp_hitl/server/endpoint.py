"""MCP over streamable HTTP at `/mcp`, with `/healthz` and `/readyz`."""

from collections.abc import Sequence
from typing import Any, cast

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import INVALID_REQUEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_hitl.desk.copies import older
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.server.app import ApprovalServer
from mcp_hitl.server.at_once import AtOnce
from mcp_hitl.server.session_ids import SessionIds

MOST_BYTES = 4 * 2**20
"""The most bytes of one message."""
_PATH = "/mcp"


class _TellsTheLimit:
    """Says what to do where a message was too large; the library says only that it was.

    The rest of the message is read first. Otherwise the connection ends while the client still writes, and many never
    read why.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused, more = False, scope["type"] == "http"

        async def hear() -> Message:
            nonlocal more
            message = await receive()
            more = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def tell(message: Message) -> None:
            nonlocal refused
            refused = refused or message.get("status") == 413
            if not refused:
                await send(message)

        await self._app(scope, hear, tell)
        if refused:
            while more:
                await hear()
            why = f"A message may have at most {MOST_BYTES:,} bytes. Nothing of it was read; send less at once."
            error = {"jsonrpc": "2.0", "id": None, "error": {"code": INVALID_REQUEST, "message": why}}
            await JSONResponse(error, status_code=413)(scope, hear, send)


def http_app(server: ApprovalServer, hosts: Sequence[str], routes: Sequence[BaseRoute] = ()) -> ASGIApp:
    """Return the app: the protocol's endpoint under the names `hosts`, two probes, and `routes` after them."""

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        try:
            held = await server.desk.read(older) is not None
        except HitlError as error:
            return JSONResponse({"status": "unavailable", "message": str(error)}, status_code=503)
        if held:
            message = "An older copy of the database was put back. Nothing acts until a person confirms it."
            return JSONResponse({"status": "held", "message": message}, status_code=503)
        return JSONResponse({"status": "ok"})

    named = [Origin("http", host, 80) for host in hosts]
    # Whoever hands in other routes than `Route` gets them served as well: Starlette makes no difference.
    behind = cast("list[Any]", [Route("/healthz", healthz), Route("/readyz", readyz), *routes])
    security = TransportSecuritySettings(
        allowed_hosts=[f"{one.authority}{port}" for one in named for port in ("", ":*")],
        allowed_origins=[f"{one}{port}" for one in named for port in ("", ":*")],
    )
    app = server.mcp.streamable_http_app(
        streamable_http_path=_PATH,
        max_request_body_size=MOST_BYTES,
        transport_security=security,
        custom_starlette_routes=behind,
    )
    tools = StreamableHTTPSessionManager(
        server.tools, json_response=True, security_settings=security, max_request_body_size=MOST_BYTES
    )
    return _TellsTheLimit(AtOnce(SessionIds(app), tools, _PATH))
