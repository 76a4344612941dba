"""Editing what is pending: the payload in inputs, and the difference before it is saved."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mcp_hitl.desk import Desk
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.errors import Conflict, Invalid
from mcp_hitl.present.differences import differences
from mcp_hitl.protocols.http.posted import posted
from mcp_hitl.web import fields
from mcp_hitl.web.descriptions import row, state
from mcp_hitl.web.door import assurance, who
from mcp_hitl.web.page_seals import Seals, changed_since
from mcp_hitl.web.rendering import drawn, page, part


class Editing:
    """The routes of an edit."""

    def __init__(self, desk: Desk, seals: Seals) -> None:
        """Over `desk`."""
        self._desk = desk
        self._seals = seals

    async def edit(self, request: Request) -> Response:
        """`GET /approvals/{id}/edit`: the payload in inputs, or as JSON with `?as=json`."""
        desk, principal = self._desk, who(request)
        approval = await desk.approvals.get(principal, request.path_params["id"], deciding=assurance(request))
        now = desk.clock()
        kind = desk.rulebook.kind_of(approval.kind, approval.definition)
        objection = await desk.decisions.objection(principal, approval, assurance(request), verdict=Verdict.REJECT)
        seq = await desk.search.seq()
        return await drawn(
            lambda: page(
                request,
                "edit.html",
                seq=seq,
                now=now,
                approval=approval,
                row=row(approval, kind, now),
                state=state(approval, now),
                objection=objection,
                inputs=[] if objection else fields.inputs(approval.payload, kind.schema if kind else {}),
                as_json=request.query_params.get("as") == "json",
                sealed=self._seals.seal(approval, now),
            )
        )

    async def save(self, request: Request) -> Response:
        """`POST /approvals/{id}/edit`: first show the difference, then, when the person agrees, make it."""
        desk, principal = self._desk, who(request)
        approval_id = request.path_params["id"]
        sent = await posted(request)
        given = dict(sent)
        shown = self._seals.open(given.get("shown", ""), approval_id)
        approval = await desk.approvals.get(principal, approval_id, deciding=assurance(request))
        if approval.revision != shown.revision:
            raise Conflict(f"{approval_id} was edited meanwhile.{await changed_since(desk, principal, shown)}")
        # Before the difference is told: it may name what only those see who may decide.
        await desk.decisions.check_beforehand(principal, approval, assurance(request), Verdict.REJECT)
        wanted = fields.whole(given["payload"]) if "payload" in given else fields.edited(approval.payload, sent)
        digest = desk.approvals.admit(approval.kind, wanted).digest
        told = differences(approval.payload, wanted)
        if not told:
            raise Invalid("Nothing changed: the new payload is identical, so there is nothing to edit.")
        if given.get("step") != "save":
            return JSONResponse({"difference": part("rows.html", "differences", told), "wanted": digest})
        if given.get("wanted") != digest:
            raise Conflict("This is not the change that was shown. Show it again before you save it.")
        await desk.approvals.edit(
            principal,
            shown,
            wanted,
            assurance=assurance(request),
            comment=given.get("comment", "").replace("\r\n", "\n"),
        )
        return JSONResponse({"go": f"/approvals/{approval_id}"})
