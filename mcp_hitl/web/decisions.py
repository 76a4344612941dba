"""Deciding one approval: what a person said on exactly what the page showed them."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.errors import Conflict, Invalid
from mcp_hitl.protocols.http.posted import posted
from mcp_hitl.web import fields
from mcp_hitl.web.door import assurance, who
from mcp_hitl.web.page_seals import Seals, changed_since


class Deciding:
    """The route of a decision, and how each is recorded."""

    def __init__(self, desk: Desk, seals: Seals) -> None:
        """Over `desk`."""
        self._desk = desk
        self._seals = seals

    async def decide(self, request: Request) -> Response:
        """`POST /approvals/{id}/decide`: what a person said on exactly what the page showed them."""
        desk, principal = self._desk, who(request)
        approval_id = request.path_params["id"]
        sent = await posted(request, repeats=lambda name: name.startswith(fields.ANSWER))
        given = dict(sent)
        verdict, comment = verdict_of(given)
        shown = self._seals.open(given.get("shown", ""), approval_id)
        if (given.get("revision"), given.get("digest")) != (str(shown.revision), shown.digest):
            raise Invalid("This page names another revision than it showed. Load it again.")
        approval = await desk.approvals.get(principal, approval_id)
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
            return await desk.decisions.decide(
                principal, shown, verdict, assurance=assurance(request), comment=comment, answer=answer
            )
        except Conflict as conflict:
            raise Conflict(f"{conflict}{await changed_since(desk, principal, shown)}") from None


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
        raise Invalid("Give a reason. The requester will see it.")
    return verdict, comment
