"""Pages that are open hear of every change: one reading and one rendering for all of them, whatever their number."""

import json
import logging
from collections.abc import AsyncGenerator
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mcp_hitl.desk import Desk
from mcp_hitl.desk.feed import ANY
from mcp_hitl.desk.search import News
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.approvals.session import Session
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import HitlError, Invalid, Unavailable
from mcp_hitl.web.descriptions import row, state
from mcp_hitl.web.door import who
from mcp_hitl.web.rendering import part

logger = logging.getLogger(__name__)

_GATHER_SECONDS = 0.05
"""Changes that come together are told together."""
_MOST = 200
"""Changes that are told one by one; after more, a page is better off loaded anew."""
_BEHIND = 50
"""Messages that a browser may be behind before it is left; it comes back and catches up."""
_PING_SECONDS = 15
_PAUSE_AFTER_FAILURE = 1.0
_RELOAD = json.dumps({"reload": True})
_BACK = json.dumps({"back": True})
"""Something may have been missed: a page asks for what has changed since it was made."""


class Live:
    """The one listener on the change feed for all pages that are open."""

    def __init__(self, desk: Desk) -> None:
        """Over `desk`; `run` does the listening."""
        self._desk = desk
        self._pages: dict[MemoryObjectSendStream[str], Session] = {}
        self._seq = 0
        """The place in the feed up to which the pages were told."""
        self._news = anyio.Event()
        self._wanted = anyio.Event()

    async def run(self) -> None:
        """Tell the pages what changes, until cancelled; nothing is read while none is open."""
        missed = False
        while True:
            await self._wanted.wait()
            try:
                self._seq = await self._desk.search.seq()
                async with self._desk.feed.listen(ANY, self._note):
                    if missed:
                        self._tell(_BACK)
                        missed = False
                    await self._follow()
            except Unavailable as error:
                logger.warning("the change feed cannot be read: %s", error)
                missed = True
                await anyio.sleep(_PAUSE_AFTER_FAILURE)
            else:
                self._wanted = anyio.Event()

    async def _follow(self) -> None:
        while self._pages:
            await self._news.wait()
            await anyio.sleep(_GATHER_SECONDS)
            self._news = anyio.Event()
            message = await self._message()
            if message is not None:
                self._tell(message)

    async def stream(self, request: Request) -> Response:
        """`GET /live`: server-sent events, for as long as the page is open and its session lasts."""
        session: Session = request.state.session
        seconds = (session.until - self._desk.clock()).total_seconds()
        return EventSourceResponse(self._events(session, seconds), ping=_PING_SECONDS)

    async def changes(self, request: Request) -> Response:
        """`GET /changes?after=N`: what a page has missed since it was made."""
        after = request.query_params.get("after", "")
        if not after.isascii() or not after.isdigit() or len(after) > 15:
            raise Invalid("after must be the place of a change.")
        news = await self._desk.search.news(who(request), int(after), _MOST)
        if news is None or news.unreadable:
            return JSONResponse({"reload": True})
        return JSONResponse(await self._told(who(request), news))

    def end(self, session: Session) -> None:
        """Close the streams of a session that has ended."""
        for page, held in list(self._pages.items()):
            if held.digest == session.digest:
                self._leave(page)

    async def end_at_stop(self) -> None:
        """Close every stream when the desk stops, or when this is cancelled: a server that ends need not wait for it.

        A browser comes back by itself, to whoever serves the inbox then.
        """
        try:
            await self._desk.stopping.wait()
        finally:
            for page in list(self._pages):
                self._leave(page)

    async def _events(self, session: Session, seconds: float) -> AsyncGenerator[dict[str, str]]:
        told, messages = anyio.create_memory_object_stream[str](_BEHIND)
        self._pages[told] = session
        self._wanted.set()
        try:
            with anyio.move_on_after(seconds), messages:
                yield {"event": "open", "data": ""}
                async for message in messages:
                    yield {"event": "changed", "data": message}
        finally:
            self._leave(told)

    def _leave(self, page: MemoryObjectSendStream[str]) -> None:
        self._pages.pop(page, None)
        page.close()
        self._news.set()  # whoever tells looks whether anybody is left

    def _note(self, _: str) -> None:
        self._news.set()

    async def _message(self) -> str | None:
        """What the pages are told now; None where nothing of it is for them."""
        somebody = next(iter(self._pages.values()), None)
        if somebody is None:
            return None
        try:
            news = await self._desk.search.news(somebody.who, self._seq, _MOST)
            if news is None:
                self._seq = await self._desk.search.seq()
                await self._leave_the_signed_out()
                return _RELOAD
            self._seq = news.seq
            if news.signed_out:
                await self._leave_the_signed_out()
            if news.unreadable:
                return _RELOAD
            if not news.approvals and not news.stops:
                return None
            return json.dumps(await self._told(somebody.who, news))
        except HitlError:
            return _RELOAD

    async def _leave_the_signed_out(self) -> None:
        """Close the streams of sessions that were ended anywhere: at another server on this database, too."""
        for session in {held.digest: held for held in self._pages.values()}.values():
            if not await self._desk.inbox.lasts(session):
                self.end(session)

    async def _told(self, principal: Principal, news: News) -> JsonObject:
        total = (await self._desk.search.pending(principal, limit=1)).total
        told: JsonObject = {
            "seq": news.seq,
            "approvals": [self._one(approval) for approval in news.approvals],
            "total": total,
        }
        return told | {"stops": True} if news.stops else told

    def _one(self, approval: Seen) -> JsonObject:
        now = self._desk.clock()
        shown = row(approval, self._desk.rulebook.kind_of(approval.kind, approval.definition), now)
        about: dict[str, Any] = {
            "id": shown.id,
            "status": shown.status,
            "revision": shown.revision,
            "kind": shown.kind,
            "requester": shown.requester,
            "state": state(approval, now),
            "row": part("rows.html", "pending_row", shown, now),
        }
        return about

    def _tell(self, message: str) -> None:
        for page in list(self._pages):
            try:
                page.send_nowait(message)
            except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._leave(page)
