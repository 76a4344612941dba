"""Deciding, and the other ways in which an approval leaves `pending`. Each function is one transaction's work."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mcp_hitl.desk.effects import EFFECTS
from mcp_hitl.domain import forms
from mcp_hitl.domain.approval import Approval, Decision, Status
from mcp_hitl.domain.audit import Entry, Event, by, content_digest
from mcp_hitl.domain.canonical import JsonObject, check_text
from mcp_hitl.domain.errors import AlreadyResolved, Conflict, Invalid, NotAllowed, NotFound
from mcp_hitl.domain.instants import rfc3339
from mcp_hitl.domain.policy import Assurance, Verdict
from mcp_hitl.domain.presentation import verdict_line
from mcp_hitl.domain.principal import Principal
from mcp_hitl.domain.resolution import quorum_of, resolve
from mcp_hitl.store.protocol import Transaction

MAX_COMMENT = 2_000
"""Characters of a comment or a reason."""

_EVENTS: Mapping[Status, Event] = {
    Status.APPROVED: Event.APPROVED,
    Status.REJECTED: Event.REJECTED,
    Status.EXPIRED: Event.EXPIRED,
    Status.CANCELLED: Event.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an approver said, and on exactly what: `revision` and `digest` are those that were shown."""

    approver: Principal
    approval_id: str
    verdict: Verdict
    revision: int
    digest: str
    assurance: Assurance
    comment: str | None = None
    answer: JsonObject | None = None
    nonce: str | None = None


def decide(tx: Transaction, said: Said, now: datetime, cooldowns: Mapping[str, timedelta | None]) -> Approval:
    """Record a decision and resolve the approval if it now adds up. The same form's answer again changes nothing.

    Raises:
        NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid: see each; nothing was changed.
    """
    approval = tx.lock(said.approval_id)
    if approval is None:
        raise NotFound
    if said.nonce is not None and any(decision.nonce == said.nonce for decision in approval.decisions):
        return approval
    _check_open(approval, now)
    if (said.revision, said.digest) != (approval.revision, approval.digest):
        raise Conflict(f"{approval.id} was edited after this was shown. Look at it again before you decide.")
    comment = checked_comment(said.comment)
    answer = _answer(approval, said)
    decision = _admit(approval, said, comment, now)
    if not tx.add_decision(decision):
        raise Conflict(f"You have already decided {approval.id}; it waits for others.")
    tx.append(
        Entry(
            approval=approval.id,
            event=Event.DECIDED,
            revision=approval.revision,
            assurance=said.assurance,
            at=now,
            data={
                "verdict": said.verdict.value,
                "stage": decision.stage,
                "digest": approval.digest,
                "comment": content_digest(comment),
                "answer": content_digest(answer),
            },
            **by(said.approver),
        )
    )
    status = resolve(approval, (*approval.decisions_in_force, decision), now)
    if status is not None:
        cooldown = cooldowns.get(approval.kind) if status is Status.REJECTED else None
        until = None if cooldown is None else now + cooldown
        _end(tx, approval, status, said.approver, now, answer=answer, cooldown_until=until)
        if status is Status.APPROVED and (effect := EFFECTS.get(approval.kind)) is not None:
            effect(tx, approval, answer, now)
    return tx.get(approval.id) or approval


def cancel(tx: Transaction, principal: Principal, approval_id: str, reason: str | None, now: datetime) -> Approval:
    """End a pending approval on its requester's behalf.

    Raises:
        NotFound, NotAllowed, AlreadyResolved, Invalid: nothing was changed.
    """
    approval = tx.lock(approval_id)
    if approval is None:
        raise NotFound
    if not principal.matches(approval.requester):
        raise NotAllowed(f"{approval.id} was asked by somebody else; only its requester can cancel it.")
    _check_open(approval, now)
    _end(tx, approval, Status.CANCELLED, principal, now, reason=checked_comment(reason))
    return tx.get(approval.id) or approval


def lift_cooldown(tx: Transaction, approver: Principal, approval_id: str, now: datetime) -> Approval:
    """Let a rejected payload be asked anew before its cooldown is over.

    Raises:
        NotFound, NotAllowed, Conflict: nothing was changed.
    """
    approval = tx.lock(approval_id)
    if approval is None:
        raise NotFound
    if not any(approver.matches(name) for stage in approval.policy.stages for name in stage.approvers):
        raise NotAllowed(f"Only somebody who may decide {approval.id} can lift its cooldown.")
    if approval.cooldown_until is None or now >= approval.cooldown_until:
        raise Conflict(f"{approval.id} has no cooldown; the same can be asked again already.")
    tx.lift_cooldown(approval.id)
    tx.append(
        Entry(
            approval=approval.id,
            event=Event.COOLDOWN_LIFTED,
            revision=approval.revision,
            at=now,
            data={"until": rfc3339(approval.cooldown_until)},
            **by(approver),
        )
    )
    return tx.get(approval.id) or approval


def checked_comment(comment: str | None) -> str | None:
    """Return a comment or reason as it is kept: bounded, and none where it is empty.

    Raises:
        Invalid: too long, or text that cannot be stored.
    """
    if comment is None or not comment.strip():
        return None
    if len(comment) > MAX_COMMENT:
        raise Invalid(f"comment must have at most {MAX_COMMENT:,} characters.")
    check_text(comment, "comment")
    return comment


def _check_open(approval: Approval, now: datetime) -> None:
    if approval.seen_at(now) is not Status.PENDING:
        raise AlreadyResolved(f"{verdict_line(approval, now)}. That stands; nothing was changed.")


def _answer(approval: Approval, said: Said) -> JsonObject | None:
    if said.verdict is Verdict.REJECT:
        return None
    if approval.form is None:
        if said.answer:
            raise Invalid(f"{approval.id} has no form, so there is nothing to answer.")
        return None
    return forms.check_answer(approval.form, said.answer or {})


def _admit(approval: Approval, said: Said, comment: str | None, now: datetime) -> Decision:
    """The decision, if this approver may make it now and with this assurance."""
    policy = approval.policy
    if not policy.counts(said.assurance):
        unattended = said.assurance is Assurance.NONE
        raise NotAllowed(
            "This policy does not let a decision be made unattended (unattended = false). A person has to look at it."
            if unattended
            else f"This policy asks for an assurance of {policy.assurance.value}; this would be {said.assurance.value}."
        )
    stage = quorum_of(approval, approval.decisions_in_force).stage
    if not any(said.approver.matches(name) for name in policy.stages[stage - 1].approvers):
        raise NotAllowed(f"{approval.id} is for others to decide now.")
    return Decision(
        approval=approval.id,
        revision=approval.revision,
        stage=stage,
        approver=said.approver.id,
        established=said.approver.established.value,
        verdict=said.verdict,
        comment=comment,
        assurance=said.assurance,
        nonce=said.nonce,
        at=now,
    )


def _end(
    tx: Transaction,
    approval: Approval,
    status: Status,
    by_whom: Principal,
    now: datetime,
    *,
    answer: JsonObject | None = None,
    reason: str | None = None,
    cooldown_until: datetime | None = None,
) -> None:
    if not tx.resolve(approval.id, status, now, answer=answer, reason=reason, cooldown_until=cooldown_until):
        raise AlreadyResolved(f"{approval.id} was resolved a moment ago. Look at it again.")
    data: JsonObject = {"answer": content_digest(answer), "reason": content_digest(reason)}
    tx.append(
        Entry(
            approval=approval.id,
            event=_EVENTS[status],
            revision=approval.revision,
            at=now,
            data={name: digest for name, digest in data.items() if digest is not None},
            **by(by_whom),
        )
    )
