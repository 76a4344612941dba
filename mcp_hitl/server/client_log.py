"""Records the connected clients for `mcp-hitl doctor`. No call waits for this, or fails because of it."""

import logging
from datetime import datetime, timedelta
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.clients import Client, Transport
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.protocols.mcp.call import shows_forms

logger = logging.getLogger(__name__)

MOST_A_DAY = 10
"""The most different clients that one process records a day, in case a client changes its name on each call."""
_AGAIN = timedelta(hours=1)
_DAY = timedelta(days=1)
_LAST_SECONDS = 1


class Acquaintances:
    """Middleware that notes each client. `run` records new clients, and those last recorded an hour ago."""

    def __init__(self, desk: Desk) -> None:
        """Record clients on `desk`."""
        self._desk = desk
        self._known: dict[Client, datetime] = {}
        self._new: list[Client] = []
        self._stirred = anyio.Event()

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Note the client of one message, and serve the message."""
        try:
            client = _client(ctx)
            if client is not None:
                self._note(client)
        except Exception:
            logger.warning("a client could not be noted", exc_info=True)
        return await call_next(ctx)

    async def run(self) -> None:
        """Record clients until cancelled, then for one more second at most, since a client may leave at once."""
        try:
            while True:
                await self._stirred.wait()
                self._stirred = anyio.Event()
                await self._write()
        finally:
            with anyio.move_on_after(_LAST_SECONDS, shield=True):
                await self._write()

    async def _write(self) -> None:
        while self._new:
            client = self._new[0]
            try:
                await self._desk.meet(client)
            except Exception as error:
                # Whatever it is, the server goes on; `doctor` will know one client less.
                logger.warning("a client was not recorded: %s", error, exc_info=not isinstance(error, HitlError))
            self._new.remove(client)  # only now: a write that the end cut off is begun again

    def _note(self, client: Client) -> None:
        now = self._desk.clock()
        written = self._known.get(client)
        if written is None:
            self._known = {one: at for one, at in self._known.items() if now - at < _DAY}
            if len(self._known) >= MOST_A_DAY:
                return
        elif now - written < _AGAIN:
            return
        self._known[client] = now
        self._new.append(client)
        self._stirred.set()


def _client(ctx: ServerRequestContext[Any, Any]) -> Client | None:
    """Return the client that sent this message; None before the handshake, or if it declares nothing."""
    session = ctx.session
    capabilities = session.client_capabilities
    if capabilities is None:
        return None
    info = session.client_params.client_info if session.client_params is not None else None
    return Client.told(
        (info.title or info.name) if info is not None else "",
        info.version if info is not None else "",
        ctx.protocol_version,
        Transport.STDIO if ctx.request is None else Transport.HTTP,
        forms=shows_forms(capabilities),
        url=capabilities.elicitation is not None and capabilities.elicitation.url is not None,
    )
