"""One approval: everything about it, and what a person can do with it beside deciding and editing."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.policy import forms
from mcp_hitl.domain.policy.kinds import QUESTION
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.present.differences import differences, edit_in_words
from mcp_hitl.present.histories import edits_of, progress_of
from mcp_hitl.present.trails import folded
from mcp_hitl.present.warnings import is_claim_only, warning_of
from mcp_hitl.protocols.http.posted import posted
from mcp_hitl.web.descriptions import (
    asked_by,
    decided_so_far,
    deciders,
    earlier_lines,
    is_brief,
    lines,
    row,
    state,
    waits,
    what_now,
)
from mcp_hitl.web.door import assurance, who
from mcp_hitl.web.page_seals import Seals
from mcp_hitl.web.rendering import drawn, page


class Approvals:
    """The routes of one approval."""

    def __init__(self, desk: Desk, seals: Seals) -> None:
        """Over `desk`."""
        self._desk = desk
        self._seals = seals

    async def show(self, request: Request) -> Response:
        """`GET /approvals/{id}`."""
        desk, principal = self._desk, who(request)
        seq = await desk.search.seq()
        approval = await desk.approvals.get(principal, request.path_params["id"], deciding=assurance(request))
        kind = desk.rulebook.kind_of(approval.kind, approval.definition)
        now = desk.clock()
        trail = await desk.approvals.trail(principal, approval.id)
        pending = waits(approval, now)
        objection, no_rejecting = [
            await desk.decisions.objection(principal, approval, assurance(request), verdict=verdict)
            if pending
            else None
            for verdict in (Verdict.APPROVE, Verdict.REJECT)
        ]
        payload = approval.payload
        earlier = await desk.approvals.earlier(principal, approval)
        next_id = await desk.search.next_pending(approval.id)
        following = await desk.approvals.get(principal, next_id) if next_id and not pending else None
        return await drawn(
            lambda: page(
                request,
                "approval.html",
                seq=seq,
                now=now,
                approval=approval,
                row=row(approval, kind, now),
                state=state(approval, now),
                deciders=deciders(approval),
                asked_by=asked_by(approval),
                pending=pending,
                brief=payload is not None and is_brief(payload),
                payload=payload,
                lines=None if payload is None else lines(payload, kind),
                warnings=warning_of(approval),
                claim_only=is_claim_only(approval),
                edits=[
                    edit if isinstance(edit, int) else (edit, differences(edit.before, edit.after), edit_in_words(edit))
                    for edit in edits_of(approval)
                ],
                progress=progress_of(approval),
                decisions=decided_so_far(approval),
                earlier=earlier_lines(earlier.shown, kind, now),
                earlier_counts=earlier.counts,
                asks=approval.kind == QUESTION.name,
                fields=forms.fields_of(approval.form) if approval.form else (),
                objection=objection,
                no_rejecting=no_rejecting,
                mine=pending and principal.is_requester(approval.requester),
                cooling=approval.cooldown_until is not None and now < approval.cooldown_until,
                unknown=approval.outcome.state is OutcomeState.UNKNOWN,
                sealed=self._seals.seal(approval, now),
                next_id=next_id,
                following=following,
                what_now=what_now(approval, kind, now),
                entries=folded(trail.entries),
                entry_count=len(trail.entries),
                intact=trail.verified,
            )
        )

    async def cancel(self, request: Request) -> Response:
        """`POST /approvals/{id}/cancel`: take one's own request back."""
        given = dict(await posted(request))
        approval = await self._desk.approvals.cancel(
            who(request), request.path_params["id"], given.get("comment") or None
        )
        return JSONResponse({"go": f"/approvals/{approval.id}"})

    async def lift(self, request: Request) -> Response:
        """`POST /approvals/{id}/lift`: let it be asked again before its cooldown is over."""
        approval = await self._desk.decisions.lift_cooldown(
            who(request), request.path_params["id"], assurance=assurance(request)
        )
        return JSONResponse({"go": f"/approvals/{approval.id}"})

    async def reconcile(self, request: Request) -> Response:
        """`POST /approvals/{id}/reconcile`: settle an outcome that nobody could tell."""
        succeeded = dict(await posted(request)).get("succeeded")
        if succeeded not in {"yes", "no"}:
            raise Invalid("Say whether it happened: yes or no.")
        approval = await self._desk.decisions.reconcile(
            who(request), request.path_params["id"], succeeded == "yes", assurance=assurance(request)
        )
        return JSONResponse({"go": f"/approvals/{approval.id}"})
