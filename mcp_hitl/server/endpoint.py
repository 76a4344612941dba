"""MCP over streamable HTTP at `/mcp`, with `/healthz` and `/readyz`."""

from collections.abc import Sequence
from typing import Any, cast

from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from mcp_hitl.desk.copies import older
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.server.app import ApprovalServer


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
    return server.mcp.streamable_http_app(
        transport_security=TransportSecuritySettings(
            allowed_hosts=[f"{one.authority}{port}" for one in named for port in ("", ":*")],
            allowed_origins=[f"{one}{port}" for one in named for port in ("", ":*")],
        ),
        custom_starlette_routes=behind,
    )
