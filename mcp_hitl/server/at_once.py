"""The short way for calls that are answered at once: on protocol 2026-07-28, to the tools that neither ask nor report.

The SDK serves each call as a stream that may begin at any moment. For most tools it never does, and the tasks that wait
for it cost about a third of a call. The client gets the same answer either way.
"""

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_hitl.server.tools import TOOLS

_PROTOCOLS = frozenset(version.encode() for version in MODERN_PROTOCOL_VERSIONS)
_NAMES = frozenset(tool.name.encode() for tool in TOOLS.values() if tool.at_once)


class AtOnce:
    """Serves such calls, and leaves every other request to `app`."""

    def __init__(self, app: ASGIApp, tools: StreamableHTTPSessionManager, path: str) -> None:
        """In front of `app`; `tools` answers the calls at `path`. It checks them as `app` would."""
        self._app = app
        self._tools = tools
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the whole time in which `app` is served."""
        if scope["type"] == "lifespan":
            async with self._tools.run():
                await self._app(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == self._path and _answers_at_once(scope):
            await self._tools.handle_request(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _answers_at_once(scope: Scope) -> bool:
    """Return True if the headers name such a call. The SDK refuses those that differ from the body or occur twice."""
    told: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        told.setdefault(name, value)  # the SDK tells the protocol by the first
    return (
        told.get(b"mcp-protocol-version") in _PROTOCOLS
        and told.get(b"mcp-method") == b"tools/call"
        and told.get(b"mcp-name") in _NAMES
    )
