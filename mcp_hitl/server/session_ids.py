"""Ids of the sessions of the older revisions, which say which replica has the session.

Such a session lives in the memory of one process. Its id begins with the port of that process, so a proxy in front of
several replicas can send each request to the right one (docs/deploy.md).
"""

from mcp_types import INVALID_REQUEST
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADER = "mcp-session-id"


class SessionIds:
    """Puts the port in front of each new id, and takes it away again before `app` sees it."""

    def __init__(self, app: ASGIApp) -> None:
        """In front of `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        here = f"{scope['server'][1]}-"
        headers = Headers(scope=scope)
        named = headers.get(_HEADER)
        sessions = headers.get("mcp-protocol-version") in {None, *HANDSHAKE_PROTOCOL_VERSIONS}
        if named is not None and named.startswith(here):
            kept = [(name, value) for name, value in scope["headers"] if name != _HEADER.encode()]
            bare = (_HEADER.encode(), named.removeprefix(here).encode("latin-1"))
            scope = {**scope, "headers": [*kept, bare]}
        unknown = False

        async def tell(message: Message) -> None:
            nonlocal unknown
            if message["type"] == "http.response.start":
                unknown = message["status"] == 404 and named is not None and sessions
                answered = MutableHeaders(scope=message)
                if _HEADER in answered:
                    answered[_HEADER] = here + answered[_HEADER]
            if not unknown:
                await send(message)

        await self._app(scope, receive, tell)
        if unknown and named is not None:
            error = {"code": INVALID_REQUEST, "message": _why(named, here)}
            await JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 404)(scope, receive, send)


def _why(named: str, here: str) -> str:
    """Say why there is no such session, and what to do: to the client, and to whoever set up the proxy."""
    port, dash, _ = named.partition("-")
    if named.startswith(here) or not (dash and port.isascii() and port.isdecimal() and len(port) <= 5):
        return (
            "There is no such session: it was not used for half an hour, or the server was started again. Initialize a "
            "new one."
        )
    return (
        f"This session is in the memory of the replica on port {port}, and this is the one on port {here[:-1]}. "
        f"Initialize a new session. If the replica on port {port} runs, let the proxy send it the requests whose "
        f"Mcp-Session-Id begins with {port}-: docs/deploy.md says how."
    )
