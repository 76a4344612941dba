"""Deciding, and taking a request back. Each function is one transaction's work."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mcp_hitl.desk.ending import end, settle
from mcp_hitl.desk.recording import begin, check_open, check_running, locked, record
from mcp_hitl.domain import forms
from mcp_hitl.domain.approval import Approval, Decision, Status
from mcp_hitl.domain.audit import Event, content_digest
from mcp_hitl.domain.canonical import JsonObject, check_text
from mcp_hitl.domain.errors import Conflict, Invalid, NotAllowed
from mcp_hitl.domain.instants import rfc3339
from mcp_hitl.domain.kinds import COOLDOWN
from mcp_hitl.domain.people import People
from mcp_hitl.domain.policy import Assurance, Verdict
from mcp_hitl.domain.principal import Principal
from mcp_hitl.domain.resolution import quorum_of
from mcp_hitl.domain.rulebook import Rulebook
from mcp_hitl.store.protocol import Transaction

MAX_COMMENT = 2_000
"""Characters of a comment or a reason."""

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an approver said, and on exactly what: `revision` and `digest` are those that were shown.

    `looked` is how long they had it before them.
    """

    approver: Principal
    approval_id: str
    verdict: Verdict
    revision: int
    digest: str
    assurance: Assurance
    comment: str | None = None
    answer: JsonObject | None = None
    nonce: str | None = None
    looked: timedelta | None = None


def decide(tx: Transaction, said: Said, clock: datetime, rulebook: Rulebook) -> Approval:
    """Record a decision and resolve the approval if it now adds up. The same form's answer again changes nothing.

    Raises:
        NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid, Paused: see each; nothing was changed.
    """
    approval = locked(tx, said.approval_id)
    if said.nonce is not None and any(decision.nonce == said.nonce for decision in approval.decisions):
        return approval
    now = begin(tx, clock)
    check_open(approval, now)
    check_running(tx, approval.kind)
    check_shown(approval, said.revision, said.digest)
    comment = checked_comment(said.comment)
    answer = _answer(approval, said)
    stage = check_right(approval, said.approver, said.assurance, rulebook)
    decision = Decision(
        approval=approval.id,
        revision=approval.revision,
        stage=stage,
        approver=said.approver.id,
        established=said.approver.established.value,
        verdict=said.verdict,
        comment=comment,
        assurance=said.assurance,
        nonce=said.nonce,
        looked=None if said.looked is None else said.looked // _MS * _MS,
        at=now,
    )
    _check_counts(approval, said.approver, decision, rulebook.people)
    if not tx.add_decision(decision):
        raise Conflict(f"You have already decided {approval.id}; it waits for others.")
    record(
        tx,
        approval,
        Event.DECIDED,
        now,
        said.approver,
        assurance=said.assurance,
        verdict=said.verdict.value,
        stage=stage,
        digest=approval.digest,
        comment=content_digest(comment),
        answer=content_digest(answer),
        looked_ms=None if said.looked is None else said.looked // _MS,
    )
    kind = rulebook.kinds.get(approval.kind)
    cooldown = kind.cooldown if kind else COOLDOWN
    return settle(tx, approval, decision, now, said.approver, answer=answer, cooldown=cooldown)


def cancel(tx: Transaction, principal: Principal, approval_id: str, reason: str | None, clock: datetime) -> Approval:
    """End a pending approval on its requester's behalf.

    Raises:
        NotFound, NotAllowed, AlreadyResolved, Invalid: nothing was changed.
    """
    approval = locked(tx, approval_id)
    if not principal.is_requester(approval.requester):
        raise NotAllowed(f"{approval.id} was asked by somebody else; only its requester can cancel it.")
    now = begin(tx, clock)
    check_open(approval, now)
    end(tx, approval, Status.CANCELLED, now, principal, reason=checked_comment(reason))
    return tx.get(approval.id) or approval


def lift_cooldown(
    tx: Transaction, approver: Principal, approval_id: str, clock: datetime, rulebook: Rulebook
) -> Approval:
    """Let a rejected payload be asked anew before its cooldown is over.

    Raises:
        NotFound, NotAllowed, Conflict: nothing was changed.
    """
    approval = locked(tx, approval_id)
    now = begin(tx, clock)
    everybody = tuple(approval.policy.named())
    if not approval.policy.admits(everybody, approver, rulebook.rights(approval.kind)):
        raise NotAllowed(f"Only somebody who may decide {approval.id} can lift its cooldown.")
    if approval.policy.four_eyes and approver.is_requester(rulebook.people.person(approval.requester)):
        raise NotAllowed(f"{approval.id} is your own request; somebody else has to lift its cooldown.")
    if approval.cooldown_until is None or now >= approval.cooldown_until:
        raise Conflict(f"{approval.id} has no cooldown; the same can be asked again already.")
    tx.lift_cooldown(approval.id)
    record(tx, approval, Event.COOLDOWN_LIFTED, now, approver, until=rfc3339(approval.cooldown_until))
    return tx.get(approval.id) or approval


def check_shown(approval: Approval, revision: int, digest: str) -> None:
    """Refuse a decision about anything but what is there now (THREATS T7).

    Raises:
        Conflict: it was edited since.
    """
    if (revision, digest) != (approval.revision, approval.digest):
        raise Conflict(f"{approval.id} was edited after this was shown. Look at it again before you decide.")


def check_right(approval: Approval, approver: Principal, assurance: Assurance, rulebook: Rulebook) -> int:
    """The stage that the approver may decide now, with this assurance.

    Raises:
        NotAllowed: not this stage, not any more, not like this, or not one's own request.
    """
    policy = approval.policy
    if not policy.counts(assurance):
        raise NotAllowed(
            "This policy takes no decision that nobody was asked for (unattended = false). A person has to look at it."
            if assurance is Assurance.NONE
            else f"This policy asks for an assurance of {policy.assurance.value}; this would be {assurance.value}."
        )
    requester = rulebook.people.person(approval.requester)
    if policy.four_eyes and approver.may_be(requester, approval.requested_as):
        raise NotAllowed(f"{approval.id} is your own request; somebody else has to decide it.")
    number = quorum_of(approval, approval.decisions_in_force).stage
    entries = (*policy.stages[number - 1].approvers, *approval.escalated)
    if not policy.admits(entries, approver, rulebook.rights(approval.kind)):
        raise NotAllowed(f"{approval.id} is for others to decide now.")
    return number


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


def _check_counts(approval: Approval, approver: Principal, decision: Decision, people: People) -> None:
    """Refuse what would not count: a second decision, an approval of one's own edit, or of a second stage.

    Who two accounts belong to is asked now: they may have been mapped to one person since (THREATS T19).
    """
    policy = approval.policy
    own = [
        held for held in approval.decisions_in_force if approver.may_be(people.person(held.approver), held.established)
    ]
    if any(held.stage == decision.stage for held in own):
        raise Conflict(f"You have already decided {approval.id}; it waits for others.")
    if decision.verdict is Verdict.REJECT:
        return
    if not policy.editor_may_approve and any(
        people.person(edit.editor) == decision.approver for edit in approval.edits
    ):
        raise NotAllowed(f"You edited {approval.id}; somebody else has to approve what it is now.")
    if policy.one_stage_each and own:
        raise NotAllowed(f"You approved an earlier stage of {approval.id}; this one is for somebody else.")


def _answer(approval: Approval, said: Said) -> JsonObject | None:
    if said.verdict is Verdict.REJECT:
        return None
    if approval.form is None:
        if said.answer:
            raise Invalid(f"{approval.id} has no form, so there is nothing to answer.")
        return None
    return forms.check_answer(approval.form, said.answer or {})
