"""Decisions of people: approve, reject, and what else only somebody who may decide can do."""

from datetime import timedelta

from mcp_hitl.desk.context import Context
from mcp_hitl.desk.transactions import decide, redeem
from mcp_hitl.desk.transactions.rights import check_beforehand
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import HitlError


class Decisions:
    """The part of the desk for people who decide. Each change is one transaction."""

    def __init__(self, at: Context) -> None:
        """Work where `at` says."""
        self._at = at

    async def decide(
        self,
        approver: Principal,
        shown: Shown,
        verdict: Verdict,
        *,
        assurance: Assurance,
        comment: str | None = None,
        answer: JsonObject | None = None,
        looked: timedelta | None = None,
    ) -> Seen:
        """Record an approver's decision on what they were shown; see `decide.decide`.

        `looked` is how long they had it on screen, if the caller knows better than `shown` does.

        Raises:
            NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid, Paused: nothing was changed.
        """
        vote = decide.Vote(
            approver=self._at.who(approver),
            verdict=verdict,
            assurance=assurance,
            comment=comment,
            answer=answer,
            looked=shown.looked(self._at.clock()) if looked is None else looked,
        )
        return await self._at.change(
            approver,
            shown.approval,
            lambda tx: decide.decide(tx, shown, vote, self._at.clock(), self._at.rulebook, self._at.effects),
        )

    async def check_beforehand(
        self,
        principal: Principal,
        approval: Approval,
        assurance: Assurance,
        verdict: Verdict = Verdict.APPROVE,
    ) -> None:
        """Refuse what `decide` would refuse for this verdict on `approval` as it was shown.

        It checks the person, the time, the assurance, and whether this program can do what has to happen then. Only
        the decision itself checks a form's answer and a comment.

        Raises:
            NotFound, AlreadyResolved, Paused, Conflict, NotAllowed, Unavailable: as `decide` would.
        """
        who, clock = self._at.rulebook.people.identify(principal), self._at.clock()
        await self._at.store.read(
            lambda view: check_beforehand(
                view, approval, who, verdict, assurance, clock, self._at.rulebook, self._at.effects
            )
        )

    async def objection(
        self,
        principal: Principal,
        approval: Approval,
        assurance: Assurance,
        verdict: Verdict = Verdict.APPROVE,
    ) -> str | None:
        """Return the message with which `check_beforehand` refuses, or None."""
        try:
            await self.check_beforehand(principal, approval, assurance, verdict)
        except HitlError as error:
            return str(error)
        return None

    async def lift_cooldown(self, approver: Principal, approval_id: str, *, assurance: Assurance) -> Seen:
        """Allow a rejected payload to be requested again; this needs the same assurance as a decision.

        Raises:
            NotFound, NotAllowed, Conflict: nothing was changed.
        """
        who = self._at.who(approver)
        return await self._at.change(
            approver,
            approval_id,
            lambda tx: decide.lift_cooldown(tx, who, approval_id, assurance, self._at.clock(), self._at.rulebook),
        )

    async def reconcile(self, person: Principal, approval_id: str, succeeded: bool, *, assurance: Assurance) -> Seen:
        """Record the true outcome where it is unknown; see `redeem.reconcile`.

        Raises:
            NotFound, NotAllowed, Conflict: nothing was changed.
        """
        who = self._at.who(person)
        return await self._at.change(
            person,
            approval_id,
            lambda tx: redeem.reconcile(
                tx, who, approval_id, succeeded, assurance, self._at.clock(), self._at.rulebook, self._at.store.is_held
            ),
        )
