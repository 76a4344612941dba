"""Checks who may decide now. Only this module refuses, both for decisions and for pages that check in advance."""

from collections.abc import Iterable
from datetime import datetime

from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.desk.transactions.log_entries import check_open, check_running, instant
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.quorum import POLICY_STAGE, is_last_approval, stage_of
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Assurance, Policy, Verdict
from mcp_hitl.domain.policy.principal import LOCAL, Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.errors import Conflict, NotAllowed, NotFound
from mcp_hitl.domain.values.schemas import satisfies
from mcp_hitl.domain.values.text import one_line, visible
from mcp_hitl.store.view import View

_NOBODY = "Nobody it names may still decide it under the current policy. Its requester has to cancel it and ask again"


def check_shown(approval: Approval, shown: Shown) -> None:
    """Refuse a decision about an earlier revision or stage than the present one (THREATS T7).

    If it is known which stage was shown, the approval must still be in it: an answer to the first must not count for
    the second. Other people's decisions in the same stage change nothing.

    Raises:
        Conflict: it was edited since, or is now in another stage.
    """
    if (shown.revision, shown.digest) != (approval.revision, approval.digest):
        raise Conflict(f"{approval.id} was edited after this was shown. Look at it again before you decide.")
    if shown.stage is not None and shown.stage != stage_of(approval):
        raise Conflict(
            f"Somebody decided on {approval.id} after this was shown: it was in stage {shown.stage} and is now in "
            f"stage {stage_of(approval)}. Look at it again before you decide."
        )


def check_defined(approval: Approval, rulebook: Rulebook) -> None:
    """Refuse an approval of a kind that this program defines in another way: it would do something else (THREATS T6).

    Raises:
        NotAllowed: the message says what can be done instead.
    """
    known = approval.kind in rulebook.kinds
    if known and rulebook.kind_of(approval.kind, approval.definition) is None:
        raise NotAllowed(
            f"{approval.id} cannot be approved or carried out here: it was {defined_otherwise(approval)}. Approve it "
            "where the program that asked runs, or reject or cancel it and let it be asked again."
        )


def defined_otherwise(approval: Approval) -> str:
    """Return in words that the kind here is not the one that was asked."""
    return (
        f"asked under another definition of the kind {approval.kind!r}, by another program or by an earlier version of "
        "this one"
    )


def check_right(approval: Approval, approver: Principal, assurance: Assurance, rulebook: Rulebook) -> int:
    """Return the stage that the approver may decide now, with this assurance.

    Raises:
        NotAllowed: another stage is open, the right is gone, the assurance is too low, or it is their own request.
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
        who = f"It needs one of: {_told(left)}. Ask one of them to look at it in the inbox" if left else _NOBODY
        raise NotAllowed(f"You can't decide {approval.id} at this stage. {who}.")
    return number


def check_may_decide(
    approval: Approval, approver: Principal, verdict: Verdict, assurance: Assurance, rulebook: Rulebook
) -> int:
    """Return the stage in which the approver's verdict would count now, with this assurance.

    Raises:
        NotAllowed: see `check_right`, `check_defined`; or it is their own edit, or they approved an earlier stage.
        Conflict: they have already decided.
    """
    stage = check_right(approval, approver, assurance, rulebook)
    if verdict is Verdict.APPROVE:
        check_defined(approval, rulebook)
    _check_counts(approval, approver, verdict, stage, rulebook.people)
    if verdict is Verdict.APPROVE:
        check_not_rejected(approval, rulebook)
        check_approved(approval, rulebook, "Edit it, so that it is decided anew, or reject it.")
    return stage


def check_not_rejected(approval: Approval, rulebook: Rulebook) -> None:
    """Refuse what a rule of the policy rejects now: then nobody can approve it any more (THREATS T21).

    Raises:
        NotAllowed: the message names the rule.
    """
    rule = _rule(approval, rulebook)
    if rule is not None and rule.decide is Verdict.REJECT:
        raise NotAllowed(f"{approval.id} must not happen: the policy's rule {visible(rule.name)} rejects it now.")


def check_ruled(approval: Approval, rulebook: Rulebook) -> None:
    """Refuse what a rule approved, if the policy would not approve it now: rules are asked again (THREATS T21).

    Any approving rule will do, whatever its name. Its limit per day does not count again.

    Raises:
        NotAllowed: the rule was withdrawn or changed.
    """
    kind, rule = rulebook.kinds.get(approval.kind), _rule(approval, rulebook)
    approving = rule is not None and rule.decide is Verdict.APPROVE
    if kind is None or not approving or not satisfies(kind.schema, approval.payload):
        raise NotAllowed(
            f"{approval.id} was approved by the policy's rule {visible(approval.rule or '?')}, which does not approve "
            "it any more. Ask for a new approval."
        )


def check_approved(approval: Approval, rulebook: Rulebook, instead: str) -> None:
    """Refuse what somebody approved who has lost the right since (THREATS T21); `instead` says what can be done.

    Raises:
        NotAllowed: the message names the person.
    """
    rights = rulebook.rights(approval.kind, approval.payload)
    for decision in approval.decisions_in_force:
        if decision.stage == POLICY_STAGE or decision.verdict is Verdict.REJECT:
            continue
        approver = Principal(decision.approver, Established(decision.established))
        everybody = approval.policy.stages[decision.stage - 1].everybody
        if not approval.policy.admits(everybody, approver, rights):
            person = rulebook.people.person(decision.approver)
            since = "whose right was withdrawn" if person == decision.approver else f"who counts as {person}"
            raise NotAllowed(f"{approval.id} was approved by {decision.approver}, {since} since. {instead}")


def check_is_an_approver(
    approval: Approval, person: Principal, assurance: Assurance, rulebook: Rulebook, what: str
) -> None:
    """Refuse an action that needs somebody who could decide such a request today, such as to `lift its cooldown`.

    We don't ask its own approvers, since they may all have left, and somebody must still be able to act. For a kind
    that is not configured here, we ask those of its own approvers whose right is still valid.

    Raises:
        NotAllowed: the person may not, needs more assurance, or made the request and four eyes are required.
    """
    policy, rights = approval.policy, rulebook.rights(approval.kind, approval.payload)
    _check_assurance(policy, assurance)
    known = approval.kind in rulebook.kinds
    if not (rights.name(person) if known else policy.admits(tuple(policy.named()), person, rights)):
        who = _told(sorted(rights.entries) if known else policy.named())
        where = "in the inbox" if known else f"under a policy that has the kind {approval.kind!r}; this policy does not"
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
    effects: Effects,
) -> None:
    """Refuse what `decide` would refuse for this verdict on the shown approval, apart from the comment and the answer.

    Raises:
        NotFound, AlreadyResolved, Paused, Conflict, NotAllowed, Unavailable: as `decide` would.
    """
    approval = view.approvals.get(shown.id)
    if approval is None:
        raise NotFound
    check_open(approval, instant(view, clock))
    check_running(view, approval.kind)
    check_shown(approval, Shown.of(shown))
    check_may_decide(approval, approver, verdict, assurance, rulebook)
    if verdict is Verdict.APPROVE and is_last_approval(approval):
        effects.of(approval.kind)


def _check_assurance(policy: Policy, assurance: Assurance) -> None:
    if not policy.counts(assurance):
        raise NotAllowed(
            "This policy accepts no decision that was made without asking a person (unattended = false). "
            "A person has to look at it."
            if assurance is Assurance.NONE
            else f"This policy requires the assurance {policy.assurance.value}; this decision would have "
            f"{assurance.value}. It has to be decided by somebody whom the policy names, after they have signed in."
        )


def _rule(approval: Approval, rulebook: Rulebook) -> Rule | None:
    """Return the rule that the policy now has for an approval. There is none for erased contents or an unknown kind."""
    kind = rulebook.kinds.get(approval.kind)
    return None if kind is None or approval.payload is None else rulebook.judge(kind, approval.payload).rule


def _told(entries: Iterable[str]) -> str:
    names = ["somebody at the requester's machine" if entry == LOCAL else entry for entry in entries]
    return one_line(", ".join(dict.fromkeys(names)), 200)


def _check_counts(approval: Approval, approver: Principal, verdict: Verdict, stage: int, people: People) -> None:
    """Refuse what would not count: a second decision, an approval of one's own edit, or an approval in a second stage.

    We look up now who owns two accounts, since they may have been mapped to one person since (THREATS T19).
    """
    policy = approval.policy
    own = [
        held for held in approval.decisions_in_force if approver.may_be(people.person(held.approver), held.established)
    ]
    if any(held.stage == stage for held in own):
        raise Conflict(f"You have already decided {approval.id}; it is waiting for others.")
    if verdict is Verdict.REJECT:
        return
    edited = any(approver.may_be(people.person(edit.editor), edit.established) for edit in approval.edits)
    if edited and not policy.editor_may_approve:
        raise NotAllowed(f"You edited {approval.id}, so somebody else has to approve it.")
    if policy.one_stage_each and own:
        raise NotAllowed(f"You approved an earlier stage of {approval.id}, so somebody else has to approve this one.")
