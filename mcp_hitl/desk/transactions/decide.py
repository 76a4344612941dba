"""Deciding, and cancelling a request. Each function runs inside one transaction."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mcp_hitl.desk.transactions.end import end, settle
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.desk.transactions.log_entries import begin, check_open, check_running, locked, record
from mcp_hitl.desk.transactions.rights import check_is_an_approver, check_may_decide, check_shown
from mcp_hitl.domain.approvals.approval import Approval, Decision, Status
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.evidence.events import CooldownLifted, Decided
from mcp_hitl.domain.policy import forms
from mcp_hitl.domain.policy.kinds import COOLDOWN
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject, check_text
from mcp_hitl.domain.values.errors import Conflict, Invalid, NotAllowed
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.domain.values.text import visible
from mcp_hitl.store.transaction import Transaction

MAX_COMMENT = 2_000
"""The most characters in a comment or a reason."""

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What an approver says to what they were shown. `looked` is how long they had it on screen, if that is known."""

    approver: Principal
    verdict: Verdict
    assurance: Assurance
    comment: str | None = None
    answer: JsonObject | None = None
    looked: timedelta | None = None


def decide(
    tx: Transaction, shown: Shown, vote: Vote, clock: datetime, rulebook: Rulebook, effects: Effects
) -> Approval:
    """Record a decision, and resolve the approval if it is now complete. Repeating a form's answer changes nothing.

    A different answer to a form that was answered already is refused. Otherwise its sender would think that it counted.

    Raises:
        NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid, Paused: see each; nothing was changed.
    """
    approval = locked(tx, shown.approval)
    if shown.nonce is not None and (given := given_on(approval, shown.nonce)) is not None:
        if (given.verdict, given.revision, given.approver) != (vote.verdict, shown.revision, vote.approver.id):
            raise Conflict(
                f"This form was answered already: {visible(given.approver)} said {given.verdict.value}. "
                "That decision counts; nothing was changed."
            )
        return approval
    now = begin(tx, clock)
    check_open(approval, now)
    check_running(tx, approval.kind)
    check_shown(approval, shown)
    comment = checked_comment(vote.comment)
    answer = _answer(approval, vote)
    stage = check_may_decide(approval, vote.approver, vote.verdict, vote.assurance, rulebook)
    decision = Decision(
        approval=approval.id,
        revision=approval.revision,
        stage=stage,
        approver=vote.approver.id,
        established=vote.approver.established.value,
        verdict=vote.verdict,
        comment=comment,
        assurance=vote.assurance,
        nonce=shown.nonce,
        looked=None if vote.looked is None else vote.looked // _MS * _MS,
        at=now,
    )
    if not tx.approvals.add_decision(decision):
        raise Conflict(f"You have already decided {approval.id}; it is waiting for others.")
    decided = Decided(
        verdict=vote.verdict,
        stage=stage,
        digest=approval.digest,
        comment=content_digest(comment),
        answer=content_digest(answer),
        looked_ms=None if vote.looked is None else vote.looked // _MS,
        nonce=content_digest(shown.nonce),
    )
    record(tx, approval, decided, now, vote.approver, assurance=vote.assurance)
    kind = rulebook.kind_of(approval.kind, approval.definition)
    cooldown = kind.cooldown if kind else COOLDOWN
    return settle(tx, approval, decision, now, vote.approver, effects=effects, answer=answer, cooldown=cooldown)


def given_on(approval: Approval, nonce: str) -> Decision | None:
    """Return the decision that was made on the form with this nonce, or None."""
    return next((decision for decision in approval.decisions if decision.nonce == nonce), None)


def cancel(tx: Transaction, principal: Principal, approval_id: str, reason: str | None, clock: datetime) -> Approval:
    """Cancel a pending approval for its requester.

    Raises:
        NotFound, NotAllowed, AlreadyResolved, Invalid: nothing was changed.
    """
    approval = locked(tx, approval_id)
    if not principal.is_requester(approval.requester):
        raise NotAllowed(f"{approval.id} was requested by somebody else; only its requester can cancel it.")
    now = begin(tx, clock)
    check_open(approval, now)
    return end(tx, approval, Status.CANCELLED, now, principal, reason=checked_comment(reason))


def lift_cooldown(
    tx: Transaction, approver: Principal, approval_id: str, assurance: Assurance, clock: datetime, rulebook: Rulebook
) -> Approval:
    """Allow a rejected payload to be requested again before its cooldown is over.

    Raises:
        NotFound, NotAllowed, Conflict: nothing was changed.
    """
    approval = locked(tx, approval_id)
    now = begin(tx, clock)
    check_is_an_approver(approval, approver, assurance, rulebook, "lift its cooldown")
    if approval.cooldown_until is None or now >= approval.cooldown_until:
        raise Conflict(f"{approval.id} has no cooldown, so the same request can already be made again.")
    tx.approvals.lift_cooldown(approval.id)
    lifted = CooldownLifted(until=rfc3339(approval.cooldown_until))
    record(tx, approval, lifted, now, approver, assurance=assurance)
    return replace(approval, cooldown_until=None)


def checked_comment(comment: str | None) -> str | None:
    """Return a comment or reason in the form in which it is stored; None if it is empty.

    Raises:
        Invalid: it is too long, or contains text that cannot be stored.
    """
    if comment is None or not comment.strip():
        return None
    if len(comment) > MAX_COMMENT:
        raise Invalid(f"comment must have at most {MAX_COMMENT:,} characters.")
    check_text(comment, "comment")
    return comment


def _answer(approval: Approval, vote: Vote) -> JsonObject | None:
    if vote.verdict is Verdict.REJECT:
        return None
    if approval.form is None:
        if vote.answer:
            raise Invalid(f"{approval.id} has no form, so there is nothing to answer.")
        return None
    return forms.check_answer(approval.form, vote.answer or {})
