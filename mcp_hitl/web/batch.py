"""Deciding several together: an explicit list, each item bound to what was shown of it (THREATS T28)."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from mcp_hitl.desk import Desk
from mcp_hitl.desk.transactions.decide import given_on
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import HitlError, Invalid
from mcp_hitl.present.warnings import warning_of
from mcp_hitl.protocols.http.posted import posted
from mcp_hitl.web.decisions import Deciding, verdict_of
from mcp_hitl.web.descriptions import batchable, lines, row, waits
from mcp_hitl.web.door import assurance, who
from mcp_hitl.web.errors import readable
from mcp_hitl.web.page_seals import Seals
from mcp_hitl.web.rendering import drawn, page

MOST = 50


class Batch:
    """The routes of a batch."""

    def __init__(self, desk: Desk, seals: Seals, deciding: Deciding) -> None:
        """Over `desk`; `deciding` records each decision."""
        self._desk = desk
        self._seals = seals
        self._deciding = deciding

    async def show(self, request: Request) -> Response:
        """`GET /batch?id=…&id=…`: all of each, and why some of them have to be decided by themselves."""
        desk, principal = self._desk, who(request)
        ids = list(dict.fromkeys(request.query_params.getlist("id")))
        if not 1 <= len(ids) <= MOST:
            raise Invalid(f"Choose 1 to {MOST} approvals.")
        now = desk.clock()
        found: list[tuple[Seen, str | None]] = []
        for approval_id in ids:
            approval = await desk.approvals.get(principal, approval_id, deciding=assurance(request))
            found.append((approval, await self._why_alone(request, approval_id)))
        seq = await desk.search.seq()

        def draw() -> HTMLResponse:
            items = [self._item(*one, now) for one in found]
            return page(request, "batch.html", items=items, now=now, seq=seq)

        return await drawn(draw)

    def _item(self, approval: Seen, alone: str | None, now: datetime) -> JsonObject:
        kind = self._desk.rulebook.kind_of(approval.kind, approval.definition)
        return {
            "row": row(approval, kind, now),
            "approval": approval,
            "lines": None if approval.payload is None else lines(approval.payload, kind),
            "sealed": self._seals.seal(approval, now),
            "alone": alone,
            "warnings": warning_of(approval),
        }

    async def decide(self, request: Request) -> Response:
        """`POST /batch`: the same verdict on each item of the list; what is refused leaves the others as they are."""
        sent = await posted(request, repeats=lambda name: name == "item")
        verdict, comment = verdict_of(dict(sent))
        items = [value for name, value in sent if name == "item"]
        if not 1 <= len(items) <= MOST:
            raise Invalid(f"Choose 1 to {MOST} approvals.")
        listed = [_listed(item) for item in items]
        return JSONResponse({"results": [await self._one(request, item, verdict, comment) for item in listed]})

    async def _one(
        self, request: Request, item: tuple[str, str, str, str], verdict: Verdict, comment: str
    ) -> JsonObject:
        approval_id, revision, digest, sealed = item
        try:
            shown = self._seals.open(sealed, approval_id)
            if (revision, digest) != (str(shown.revision), shown.digest):
                raise Invalid("The list names another revision than the page showed.")
            held = await self._desk.approvals.get(who(request), approval_id)
            if (
                shown.nonce is None or given_on(held, shown.nonce) is None
            ):  # else it is sent again, and is answered as it was
                why = await self._why_alone(request, approval_id)
                if why is not None:
                    return {"id": approval_id, "done": False, "message": readable(why)}
            approval = await self._deciding.say(request, shown, verdict, comment)
        except HitlError as error:
            return {"id": approval_id, "done": False, "message": readable(str(error))}
        status = approval.seen_at(self._desk.clock()).value
        return {"id": approval_id, "done": True, "message": f"Recorded; it is {status}."}

    async def _why_alone(self, request: Request, approval_id: str) -> str | None:
        """Why one cannot be decided with others; None where it can."""
        desk, principal = self._desk, who(request)
        approval = await desk.approvals.get(principal, approval_id)
        if not waits(approval, desk.clock()):
            return f"It is {approval.seen_at(desk.clock()).value} already."
        if approval.form is not None:
            return "It has questions to answer: decide it on its own page."
        if not batchable(approval):
            return "Its policy asks for more assurance than the inbox gives: it cannot be decided here."
        return await desk.decisions.objection(principal, approval, assurance(request))


def _listed(item: str) -> tuple[str, str, str, str]:
    parts = item.split(" ")
    if len(parts) != 4:
        raise Invalid("Each item of the list must have an id, a revision, a digest and its seal.")
    return parts[0], parts[1], parts[2], parts[3]
