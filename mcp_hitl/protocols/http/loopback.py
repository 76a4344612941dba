"""Rejects requests whose Host header is not a loopback name, and says where the others came to."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_hitl.domain.values.origin import Origin

HOSTS = ("127.0.0.1", "localhost", "::1")
ADDRESS = "mcp_hitl.address"
"""The key of a scope under which the address stands at which this process listens, whatever the request calls it."""


class OnLoopback:
    """Refuses a Host other than this machine's on every route: DNS rebinding (THREATS T31)."""

    def __init__(self, app: ASGIApp, address: Callable[[], Origin]) -> None:
        """In front of `app`, which is told the `address`."""
        self._app = app
        self._address = address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and not _names_loopback(scope):
            await PlainTextResponse("Invalid Host header", status_code=421)(scope, receive, send)
        else:
            await self._app({**scope, ADDRESS: self._address()}, receive, send)


def _names_loopback(scope: Scope) -> bool:
    hosts = Headers(scope=scope).getlist("host")
    try:
        return len(hosts) == 1 and Origin.at("http", hosts[0]).host.lower() in HOSTS
    except ValueError:
        return False
