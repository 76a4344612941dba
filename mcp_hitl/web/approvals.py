"""One approval: everything about it, and everything that a person can do with it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from itsdangerous import BadSignature, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mcp_hitl.desk import Desk
from mcp_hitl.desk.deciding import Said
from mcp_hitl.domain import forms
from mcp_hitl.domain.approval import Approval, OutcomeState
from mcp_hitl.domain.canonical import canonical, digest_of
from mcp_hitl.domain.errors import Conflict, HitlError, Invalid
from mcp_hitl.domain.instants import from_ms, to_ms
from mcp_hitl.domain.kinds import QUESTION
from mcp_hitl.domain.policy import Assurance, Verdict
from mcp_hitl.domain.presentation import differences, payload_of, told_edit
from mcp_hitl.domain.resolution import stage_of
from mcp_hitl.web import fields
from mcp_hitl.web.guard import posted, who
from mcp_hitl.web.rendering import drawn, page
from mcp_hitl.web.showing import decided_so_far, deciders, earlier_lines, is_claim_only, lines, row, state, waits

ASSURANCE = Assurance.LOCAL
"""What a decision here counts for: whoever has the link that was made at this machine is at this machine."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page showed: which revision and stage, and when; and a mark by which a form sent twice is known."""

    approval: str
    revision: int
    digest: str
    nonce: str
    at: datetime
    stage: int


class Seals:
    """Seals what was shown into a page, so that it comes back as it was."""

    def __init__(self, key: bytes) -> None:
        """With a secret `key`."""
        self._serializer = URLSafeSerializer(key, salt="mcp-hitl inbox: shown")

    def seal(self, approval: Approval, at: datetime) -> str:
        """What the page of `approval` carries along."""
        return str(
            self._serializer.dumps(
                [
                    approval.id,
                    approval.revision,
                    approval.digest,
                    secrets.token_urlsafe(16),
                    to_ms(at),
                    stage_of(approval),
                ]
            )
        )

    def open(self, sealed: str, approval_id: str) -> Shown:
        """Read it back.

        Raises:
            Invalid: it is none of ours, or of another approval.
        """
        try:
            named, revision, digest, nonce, at, stage = self._serializer.loads(sealed)
        except (BadSignature, ValueError):  # none of ours, or of an earlier version's page, which sealed less
            named, revision, digest, nonce, at, stage = "", 0, "", "", 0, 0
        if named != approval_id:
            raise Invalid("This page did not show the approval that it is about. Load it again.")
        return Shown(approval_id, revision, digest, nonce, from_ms(at), stage)


class Approvals:
    """The routes of one approval."""

    def __init__(self, desk: Desk, seals: Seals) -> None:
        """Over `desk`."""
        self._desk = desk
        self._seals = seals

    async def show(self, request: Request) -> Response:
        """`GET /approvals/{id}`."""
        desk, principal = self._desk, who(request)
        seq = await desk.seq()
        approval = await desk.get(principal, request.path_params["id"])
        kind = desk.rulebook.kinds.get(approval.kind)
        now = desk.clock()
        entries, intact = await desk.evidence().trail(approval.id)
        pending = waits(approval, now)
        objection, no_rejecting = [
            await desk.objection(principal, approval, ASSURANCE, verdict=verdict) if pending else None
            for verdict in (Verdict.APPROVE, Verdict.REJECT)
        ]
        decides = pending and (objection is None or no_rejecting is None)
        payload = approval.payload if decides else payload_of(approval, desk.telling(approval))
        earlier = await desk.earlier(principal, approval)
        next_id = await desk.next_pending(principal, approval.id)
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
                pending=pending,
                payload=payload,
                lines=None if payload is None else lines(payload, kind),
                claim_only=is_claim_only(approval),
                edits=[
                    (edit, differences(edit.before, edit.after) if decides else told_edit(edit, desk.telling(approval)))
                    for edit in approval.edits
                ],
                decisions=decided_so_far(approval),
                earlier=earlier_lines(earlier, kind, now),
                asks=approval.kind == QUESTION.name,
                fields=forms.fields_of(approval.form) if approval.form else (),
                objection=objection,
                no_rejecting=no_rejecting,
                mine=pending and principal.is_requester(approval.requester),
                cooling=approval.cooldown_until is not None and now < approval.cooldown_until,
                unknown=approval.outcome.state is OutcomeState.UNKNOWN,
                sealed=self._seals.seal(approval, now),
                next_id=next_id,
                entries=entries,
                intact=intact,
            )
        )

    async def decide(self, request: Request) -> Response:
        """`POST /approvals/{id}/decide`: what a person said on exactly what the page showed them."""
        desk, principal = self._desk, who(request)
        approval_id = request.path_params["id"]
        sent = await posted(request)
        given = dict(sent)
        verdict, comment = verdict_of(given)
        shown = self._seals.open(given.get("shown", ""), approval_id)
        if (given.get("revision"), given.get("digest")) != (str(shown.revision), shown.digest):
            raise Invalid("This page names another revision than it showed. Load it again.")
        approval = await desk.get(principal, approval_id)
        answer = fields.answers(approval.form, sent) if verdict is Verdict.APPROVE else None
        await self.say(request, shown, verdict, comment, answer)
        return JSONResponse({"go": f"/approvals/{approval_id}"})

    async def say(
        self,
        request: Request,
        shown: Shown,
        verdict: Verdict,
        comment: str | None,
        answer: dict[str, object] | None = None,
    ) -> Approval:
        """Record a decision on what was shown.

        Raises:
            HitlError: with what changed since, where that is why.
        """
        desk, principal = self._desk, who(request)
        try:
            return await desk.decide(
                Said(
                    approver=principal,
                    approval_id=shown.approval,
                    verdict=verdict,
                    revision=shown.revision,
                    digest=shown.digest,
                    assurance=ASSURANCE,
                    comment=comment,
                    answer=answer,
                    nonce=shown.nonce,
                    looked=max(timedelta(0), desk.clock() - shown.at),
                    stage=shown.stage,
                )
            )
        except Conflict as conflict:
            since = await self._since(request, shown)
            raise Conflict(f"{conflict}{since}") from None

    async def edit(self, request: Request) -> Response:
        """`GET /approvals/{id}/edit`: the payload in inputs, or as JSON with `?as=json`."""
        desk, principal = self._desk, who(request)
        approval = await desk.get(principal, request.path_params["id"])
        now = desk.clock()
        kind = desk.rulebook.kinds.get(approval.kind)
        objection = await desk.objection(principal, approval, ASSURANCE, verdict=Verdict.REJECT)
        seq = await desk.seq()
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
        approval = await desk.get(principal, approval_id)
        if approval.revision != shown.revision:
            raise Conflict(f"{approval_id} was edited meanwhile.{await self._since(request, shown)}")
        # Before the difference is told: it may name what only those see who may decide.
        await desk.check_beforehand(principal, approval, ASSURANCE, Verdict.REJECT)
        wanted = fields.whole(given["payload"]) if "payload" in given else fields.edited(approval.payload, sent)
        desk.admit(approval.kind, wanted)
        digest = digest_of(canonical(wanted, what="payload"))
        told = differences(approval.payload, wanted)
        if not told:
            raise Invalid("This is what it says already; there is nothing to edit.")
        if given.get("step") != "save":
            return JSONResponse({"difference": told, "wanted": digest})
        if given.get("wanted") != digest:
            raise Conflict("This is not the change that was shown. Show it again before you save it.")
        await desk.edit(
            principal,
            approval_id,
            wanted,
            revision=shown.revision,
            digest=shown.digest,
            assurance=ASSURANCE,
            comment=given.get("comment", "").replace("\r\n", "\n"),
        )
        return JSONResponse({"go": f"/approvals/{approval_id}"})

    async def cancel(self, request: Request) -> Response:
        """`POST /approvals/{id}/cancel`: take one's own request back."""
        given = dict(await posted(request))
        approval = await self._desk.cancel(who(request), request.path_params["id"], given.get("comment") or None)
        return JSONResponse({"go": f"/approvals/{approval.id}"})

    async def lift(self, request: Request) -> Response:
        """`POST /approvals/{id}/lift`: let it be asked again before its cooldown is over."""
        approval = await self._desk.lift_cooldown(who(request), request.path_params["id"])
        return JSONResponse({"go": f"/approvals/{approval.id}"})

    async def reconcile(self, request: Request) -> Response:
        """`POST /approvals/{id}/reconcile`: settle an outcome that nobody could tell."""
        succeeded = dict(await posted(request)).get("succeeded")
        if succeeded not in {"yes", "no"}:
            raise Invalid("Say whether it happened: yes or no.")
        approval = await self._desk.reconcile(who(request), request.path_params["id"], succeeded == "yes")
        return JSONResponse({"go": f"/approvals/{approval.id}"})

    async def _since(self, request: Request, shown: Shown) -> str:
        """What was changed since the page was made."""
        try:
            approval = await self._desk.get(who(request), shown.approval)
        except HitlError:
            return ""
        edits = [edit for edit in approval.edits if edit.revision > shown.revision]
        telling = self._desk.telling(approval)
        return "".join(f"\n{edit.editor} changed {told_edit(edit, telling)}" for edit in edits)


def verdict_of(given: Mapping[str, str]) -> tuple[Verdict, str]:
    """What a form says, and the comment to it.

    Raises:
        Invalid: neither yes nor no, or a no without a reason.
    """
    try:
        verdict = Verdict(given.get("verdict", ""))
    except ValueError:
        raise Invalid("Choose: approve or reject.") from None
    comment = given.get("comment", "").replace("\r\n", "\n")
    if verdict is Verdict.REJECT and not comment.strip():
        raise Invalid("Say why not: whoever asked is told.")
    return verdict, comment
