"""Who may decide what now: the one place that refuses, for deciding itself and for pages that ask before."""

from collections.abc import Iterable
from datetime import datetime

from mcp_hitl.desk.recording import check_open, check_running, instant
from mcp_hitl.domain.approval import Approval
from mcp_hitl.domain.errors import Conflict, NotAllowed, NotFound
from mcp_hitl.domain.people import People
from mcp_hitl.domain.policy import Assurance, Policy, Verdict
from mcp_hitl.domain.principal import LOCAL, Principal
from mcp_hitl.domain.resolution import stage_of
from mcp_hitl.domain.rulebook import Rulebook
from mcp_hitl.domain.text import one_line
from mcp_hitl.store.view import View

_NOBODY = "nobody it names may still decide it under the current policy. Its requester has to cancel it and ask again"


def check_shown(approval: Approval, revision: int, digest: str, stage: int | None = None) -> None:
    """Refuse a decision about anything but what is there now (THREATS T7).

    A `stage` that was shown is the one to be decided: an answer to the first must not count for the second. Others who
    decide in the same stage change nothing of what is asked.

    Raises:
        Conflict: it was edited since, or is in another stage.
    """
    if (revision, digest) != (approval.revision, approval.digest):
        raise Conflict(f"{approval.id} was edited after this was shown. Look at it again before you decide.")
    if stage is not None and stage != stage_of(approval):
        raise Conflict(
            f"{approval.id} was decided on by somebody after this was shown: it was in stage {stage} and is in stage "
            f"{stage_of(approval)} now. Look at it again before you decide."
        )


def check_right(approval: Approval, approver: Principal, assurance: Assurance, rulebook: Rulebook) -> int:
    """The stage that the approver may decide now, with this assurance.

    Raises:
        NotAllowed: not this stage, not any more, not like this, or not one's own request.
    """
    policy = approval.policy
    _check_assurance(policy, assurance)
    requester = rulebook.people.person(approval.requester)
    if policy.four_eyes and approver.may_be(requester, approval.requested_as):
        raise NotAllowed(f"{approval.id} is your own request; somebody else has to decide it.")
    number = stage_of(approval)
    entries = (*policy.stages[number - 1].approvers, *approval.escalated)
    rights = rulebook.rights(approval.kind, approval.payload)
    if not policy.admits(entries, approver, rights):
        left = [entry for entry in entries if entry in rights.entries]
        who = f"{_told(left)}. Ask one of them to look at it in the inbox" if left else _NOBODY
        raise NotAllowed(f"{approval.id} is for others to decide now: {who}.")
    return number


def check_may_decide(
    approval: Approval, approver: Principal, verdict: Verdict, assurance: Assurance, rulebook: Rulebook
) -> int:
    """The stage in which this verdict of the approver would count now, with this assurance.

    Raises:
        NotAllowed: see `check_right`; or it is their own edit, or they approved an earlier stage.
        Conflict: they have decided already.
    """
    stage = check_right(approval, approver, assurance, rulebook)
    _check_counts(approval, approver, verdict, stage, rulebook.people)
    return stage


def check_is_an_approver(
    approval: Approval, person: Principal, assurance: Assurance, rulebook: Rulebook, what: str
) -> None:
    """Refuse what is for whoever might decide it if it was asked today, such as to `lift its cooldown`.

    Its own approvers may all have left, and somebody must still be able to. Of a kind that is not configured here, only
    those of them who count still.

    Raises:
        NotAllowed: for others, not like this, or one's own request where another pair of eyes has to look.
    """
    policy, rights = approval.policy, rulebook.rights(approval.kind, approval.payload)
    _check_assurance(policy, assurance)
    known = approval.kind in rulebook.kinds
    if not (rights.name(person) if known else policy.admits(tuple(policy.named()), person, rights)):
        who = _told(sorted(rights.entries) if known else policy.named())
        where = (
            "in the inbox" if known else f"under a policy that has the kind {approval.kind!r}, which this one has not"
        )
        raise NotAllowed(f"Only somebody who may decide {approval.id} can {what}: {who}. Ask one of them, {where}.")
    requester = rulebook.people.person(approval.requester)
    if policy.four_eyes and person.may_be(requester, approval.requested_as):
        raise NotAllowed(f"{approval.id} is your own request; somebody else has to {what}.")


def check_beforehand(
    view: View,
    shown: Approval,
    approver: Principal,
    verdict: Verdict,
    assurance: Assurance,
    clock: datetime,
    rulebook: Rulebook,
) -> None:
    """Refuse what `decide` would refuse of this verdict on what was shown, whatever its comment and answer.

    Raises:
        NotFound, AlreadyResolved, Paused, Conflict, NotAllowed: as `decide` would.
    """
    approval = view.get(shown.id)
    if approval is None:
        raise NotFound
    check_open(approval, instant(view, clock))
    check_running(view, approval.kind)
    check_shown(approval, shown.revision, shown.digest, stage_of(shown))
    check_may_decide(approval, approver, verdict, assurance, rulebook)


def _check_assurance(policy: Policy, assurance: Assurance) -> None:
    if not policy.counts(assurance):
        raise NotAllowed(
            "This policy counts no decision that was made without asking a person (unattended = false). "
            "A person has to look at it."
            if assurance is Assurance.NONE
            else f"This policy asks for an assurance of {policy.assurance.value}; this would be {assurance.value}. "
            "It is for somebody whom the policy names, where they have signed in as themselves."
        )


def _told(entries: Iterable[str]) -> str:
    names = ["somebody at the requester's machine" if entry == LOCAL else entry for entry in entries]
    return one_line(", ".join(dict.fromkeys(names)), 200)


def _check_counts(approval: Approval, approver: Principal, verdict: Verdict, stage: int, people: People) -> None:
    """Refuse what would not count: a second decision, an approval of one's own edit, or of a second stage.

    Who two accounts belong to is asked now: they may have been mapped to one person since (THREATS T19).
    """
    policy = approval.policy
    own = [
        held for held in approval.decisions_in_force if approver.may_be(people.person(held.approver), held.established)
    ]
    if any(held.stage == stage for held in own):
        raise Conflict(f"You have already decided {approval.id}; it waits for others.")
    if verdict is Verdict.REJECT:
        return
    edited = any(approver.may_be(people.person(edit.editor), edit.established) for edit in approval.edits)
    if edited and not policy.editor_may_approve:
        raise NotAllowed(f"You edited {approval.id}; somebody else has to approve what it is now.")
    if policy.one_stage_each and own:
        raise NotAllowed(f"You approved an earlier stage of {approval.id}; this one is for somebody else.")
