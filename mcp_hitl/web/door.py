"""Who may come in, and which requests may change something."""

import hmac
import re
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_hitl.desk import Desk
from mcp_hitl.desk.sign_in import token_digest
from mcp_hitl.domain.approvals.session import SESSION_LIFE, Session
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.protocols.http.loopback import ADDRESS
from mcp_hitl.web.witness import Witnesses

TOKEN = "x-inbox-token"
OPEN = frozenset({"/sign-in", "/inbox/identity"})
"""Routes that show nothing of what is pending, and need no sign-in; beside the assets."""
_OWN_PATH = re.compile(r"/(?!/)[\w\-./?=&%+]*", re.ASCII)


class Door:
    """Lets in who is signed in, and changes through that come from our own pages (THREATS T30)."""

    def __init__(self, app: ASGIApp, desk: Desk, witnesses: Witnesses) -> None:
        """In front of `app`, whose pages come with a witness."""
        self._app = app
        self._witnesses = witnesses
        self._desk = desk
        self._database: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            response = await self._stopped(Request(scope))
        except Unavailable as error:
            response = _refusal(503, error.code, str(error))
        await (self._app if response is None else response)(scope, receive, send)

    async def _stopped(self, request: Request) -> Response | None:
        """What to answer instead; None for what may go on."""
        state = request.state
        state.session = await self._session(request)
        state.witness = self._witnesses.of(state.session)
        path = request.url.path
        changes = request.method not in {"GET", "HEAD"}
        if changes and not _from_own_page(request):
            return _refusal(403, "not_allowed", "This request did not come from a page of this inbox.")
        if path in OPEN or path.startswith("/assets/"):
            return None
        if state.session is None:
            if changes or path in {"/live", "/changes"}:
                return _refusal(401, "not_allowed", "You are not signed in any more. Sign in again, then repeat this.")
            return RedirectResponse(f"/sign-in?next={quote(own_path(request.url.path, request.url.query))}", 303)
        if changes and not has_token(request, state.session):
            return _refusal(
                403, "not_allowed", "This page is not the one that was signed in here. Sign in again on this address."
            )
        return None

    async def _session(self, request: Request) -> Session | None:
        database = await self.database()
        value = request.cookies.get(cookie_name(database), "")
        named, _, secret = value.partition(".")
        return await self._desk.inbox.session(secret) if secret and named == database else None

    async def database(self) -> str:
        """The id of the database, which its cookies carry."""
        if self._database is None:
            self._database = await self._desk.inbox.database_id()
        return self._database


def set_cookie(response: Response, database: str, secret: str) -> None:
    """Have the browser keep a session's secret."""
    response.set_cookie(
        cookie_name(database),
        f"{database}.{secret}",
        max_age=int(SESSION_LIFE.total_seconds()),
        httponly=True,
        samesite="lax",
        path="/",
    )


def forget_cookie(response: Response, database: str) -> None:
    """Have the browser forget it."""
    response.delete_cookie(cookie_name(database), httponly=True, samesite="lax", path="/")


def cookie_name(database: str) -> str:
    """Cookies know no ports: each database's has a name of its own."""
    return f"inbox_{database[:16]}"


def who(request: Request) -> Principal:
    """Who is signed in."""
    return request.state.session.who


def assurance(request: Request) -> Assurance:
    """Return what a decision counts for in the session of this request."""
    return request.state.session.assurance


def listening_at(request: Request) -> Origin:
    """The address at which this process listens, whatever the request calls it.

    A token is valid there alone. It may mean two numbers, of which a browser takes either; nobody else has one of them.
    """
    address: Origin = request.scope[ADDRESS]
    return address


def reached_at(request: Request) -> Origin:
    """The number and port to which this very request came."""
    host, port = request.scope["server"]
    return Origin("http", host, port)


def has_token(request: Request, session: Session) -> bool:
    """Whether it comes from a page of the browser that signed in, at the very address where it did."""
    token = request.headers.get(TOKEN, "")
    return hmac.compare_digest(token_digest(listening_at(request), token), session.token_digest)


def own_path(path: str, query: str = "") -> str:
    """A place of this inbox to go on to; its front page for everything else."""
    wanted = f"{path}?{query}" if query else path
    return wanted if _OWN_PATH.fullmatch(wanted) else "/"


def _from_own_page(request: Request) -> bool:
    """Whether a page of this very address sends it; browsers say so, and no page can make them say otherwise."""
    headers = Headers(scope=request.scope)
    origins = headers.getlist("origin")
    fetched = headers.get("sec-fetch-site", "same-origin")
    try:
        own = len(origins) == 1 and Origin.parse(origins[0]) == Origin.at("http", headers.get("host", ""))
    except ValueError:
        return False
    return own and fetched == "same-origin"


def _refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message}, status_code=status)
