"""Signing in with a one-time link, and out again; and proving which inbox this is."""

import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mcp_hitl.desk import Desk
from mcp_hitl.domain.values.errors import Invalid, NotAllowed
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.protocols.http.posted import posted
from mcp_hitl.web.door import forget_cookie, has_token, listening_at, own_path, reached_at, set_cookie
from mcp_hitl.web.rendering import page
from mcp_hitl.web.witness import Witnesses

_CHALLENGE = range(16, 129)
"""Characters of a challenge."""


def link(address: Origin, code: str, path: str = "/") -> str:
    """The one-time link: its secret stands behind the `#`, which no browser sends, so that no log ever has it."""
    query = "" if path == "/" else f"?next={path}"
    return f"{address}/sign-in{query}#{code}"


def proof(key: bytes, challenge: str, address: Origin) -> str:
    """What only a process that has the key beside the database can answer, for this number and port alone."""
    return hmac.new(key, f"mcp-hitl inbox\n{challenge}\n{address}".encode(), hashlib.sha256).hexdigest()


class SigningIn:
    """The routes that work without a sign-in."""

    def __init__(self, desk: Desk, key: bytes, how: str, witnesses: Witnesses) -> None:
        """Over `desk`; `how` says in words how to get a link. `key` proves which inbox this is, and so do `witnesses`.

        The key proves it to processes, which have it too, and the witnesses to pages, each of which has one.
        """
        self._witnesses = witnesses
        self._desk = desk
        self._key = key
        self._how = how

    async def show(self, request: Request) -> Response:
        """The page that a link opens; nothing happens by opening it (THREATS T29)."""
        return page(request, "sign_in.html", how=self._how, next=_next(request))

    async def sign_in(self, request: Request) -> Response:
        """Exchange a link's code for a session."""
        fields = dict(await posted(request))
        go = own_path(fields.get("next", "/"))
        try:
            # A token of this address alone: who takes our port when we end can ask the browser for what is kept there.
            opened = await self._desk.inbox.sign_in(fields.get("code", "").strip(), at=listening_at(request))
        except NotAllowed:
            held = request.state.session
            if held is None or not has_token(request, held):
                raise
            return JSONResponse({"go": go})  # who opens a link again has come in with it, or with another one, already
        response = JSONResponse({"go": go, "token": opened.token})
        set_cookie(response, await self._desk.inbox.database_id(), opened.secret)
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        await self._desk.inbox.sign_out(request.state.session)
        response = JSONResponse({"go": "/sign-in"})
        forget_cookie(response, await self._desk.inbox.database_id())
        return response

    async def identity(self, request: Request) -> Response:
        """Prove that this is the inbox, and no stranger who has taken its port.

        `proof` proves it to whoever shares the database, `page` to the page that asks by the name of its witness.
        """
        challenge = request.query_params.get("challenge", "")
        if len(challenge) not in _CHALLENGE or not challenge.isalnum():
            raise Invalid("challenge must be 16 to 128 letters and digits.")
        address = reached_at(request)  # or a stranger could pass the question on and use the answer
        to_page = self._witnesses.proof(request.query_params.get("page", ""), challenge, address.port)
        return JSONResponse({"address": str(address), "proof": proof(self._key, challenge, address), "page": to_page})


def _next(request: Request) -> str:
    return own_path(request.query_params.get("next", "/"))
