"""Carrying out the approved action: once, while the approval is valid, and never again on a guess."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from mcp_hitl.desk.transactions.asker import has_asked
from mcp_hitl.desk.transactions.decide import checked_comment
from mcp_hitl.desk.transactions.log_entries import begin, check_running, locked, record
from mcp_hitl.desk.transactions.rights import (
    check_approved,
    check_defined,
    check_is_an_approver,
    check_not_rejected,
    check_ruled,
)
from mcp_hitl.domain.approvals.approval import Approval, Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.flow import ENDED_AS, FlowState
from mcp_hitl.domain.approvals.quorum import POLICY_STAGE
from mcp_hitl.domain.evidence.events import Started, result_of
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.clock import latest
from mcp_hitl.domain.values.errors import Conflict, NotAllowed
from mcp_hitl.domain.values.instants import in_words, rfc3339
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View


def redeem(
    tx: Transaction,
    caller: Principal,
    approval_id: str,
    digest: str,
    clock: datetime,
    rulebook: Rulebook,
) -> Approval:
    """Use an approval, which is possible once. From here on the caller performs the action.

    Raises:
        NotFound, NotAllowed, Conflict, Paused: it cannot be used, and nothing was changed.
    """
    approval = locked(tx, approval_id)
    if not has_asked(tx, caller, approval):
        raise NotAllowed(f"{approval.id} was requested by somebody else; only its requester can redeem it.")
    kind = rulebook.kind_of(approval.kind, approval.definition)
    if kind is None or not kind.redeemable or approval.flow is not None:
        raise NotAllowed(f"{approval.id} is carried out here, not by its requester, so there is nothing to redeem.")
    check_usable(tx, approval, clock, rulebook)
    if digest != approval.digest:
        raise Conflict(
            f"{approval.id} was approved with another payload. Carry out its present payload, and send its digest."
        )
    now = begin(tx, clock)
    running = Outcome(OutcomeState.RUNNING)
    if not tx.approvals.set_outcome(approval.id, running, was=(OutcomeState.NONE,)):
        raise Conflict(f"{approval.id} was redeemed already, and an approval can be used only once. Ask for a new one.")
    record(tx, approval, Started(digest=approval.digest), now, caller)
    return replace(approval, outcome=running)


def report(
    tx: Transaction, caller: Principal, approval_id: str, succeeded: bool, note: str | None, clock: datetime
) -> Approval:
    """Record the outcome of an action that the caller redeemed. Repeating the same report changes nothing.

    Raises:
        NotFound, NotAllowed, Conflict, Invalid: nothing was changed.
    """
    approval = locked(tx, approval_id)
    if not has_asked(tx, caller, approval):
        raise NotAllowed(f"{approval.id} was requested by somebody else; only its requester can report on it.")
    if approval.flow is not None:
        raise NotAllowed(f"{approval.id} is carried out here, so its requester cannot report the outcome.")
    outcome = _outcome(succeeded, checked_comment(note))
    if approval.outcome == outcome:
        return approval
    now = begin(tx, clock)
    if not tx.approvals.set_outcome(approval.id, outcome, was=(OutcomeState.RUNNING,)):
        raise Conflict(f"{approval.id} is not being carried out: its outcome is {approval.outcome.state.value}.")
    record(tx, approval, result_of(outcome), now, caller)
    return replace(approval, outcome=outcome)


def reconcile(
    tx: Transaction,
    person: Principal,
    approval_id: str,
    succeeded: bool,
    assurance: Assurance,
    clock: datetime,
    rulebook: Rulebook,
    is_held: Callable[[str], bool],
) -> Approval:
    """Record the true outcome of an action whose outcome is unknown, as reported by an approver who has checked.

    So it is, too, if the process died in the middle of a flow and no other carries it on: `is_held` says of a lock
    whether a living process holds it. And so it is if no process claims the flow, since none that runs has its code.

    Raises:
        NotFound, Conflict: there is nothing to reconcile.
        NotAllowed: the person may not do this, or needs more assurance.
    """
    approval = locked(tx, approval_id)
    now = begin(tx, clock)
    check_is_an_approver(approval, person, assurance, rulebook, "say whether it happened")
    outcome = _outcome(succeeded, None)
    unclaimed = approval.flow is not None and bool(tx.flows.unclaimed(now, approval.flow))
    abandoned = approval.flow is not None and (unclaimed or _is_abandoned(tx, approval, now, is_held))
    open_states = [OutcomeState.UNKNOWN]
    open_states += [OutcomeState.RUNNING] if abandoned or not approval.flow else []
    open_states += [OutcomeState.NONE] if unclaimed and approval.opened_by is None else []
    if not tx.approvals.set_outcome(approval.id, outcome, was=tuple(open_states)):
        raise Conflict(
            f"The outcome of {approval.id} is {approval.outcome.state.value}, so there is nothing to reconcile."
        )
    if approval.flow is not None:
        tx.flows.settle(
            approval.flow, ENDED_AS[outcome.state], was=FlowState.RUNNABLE if abandoned else FlowState.UNKNOWN
        )
    record(tx, approval, result_of(outcome), now, person, assurance=assurance)
    return replace(approval, outcome=outcome)


def check_usable(view: View, approval: Approval, clock: datetime, rulebook: Rulebook) -> None:
    """Refuse an approval that may not be used now, even if it was approved (THREATS T13, T15, T21).

    Raises:
        NotAllowed: it is not approved, was approved too long ago, or an approver has lost the right since.
        Paused: the emergency stop is on.
    """
    if approval.status is not Status.APPROVED:
        raise NotAllowed(f"{approval.id} is {approval.seen_at(clock).value}, not approved. Do not act on it.")
    check_running(view, approval.kind)
    check_valid(view, approval, clock, rulebook)


def check_valid(view: View, approval: Approval, clock: datetime, rulebook: Rulebook) -> None:
    """Refuse an approval that was given too long ago, or that the present policy would not give (THREATS T13, T21),
    or that was asked under another definition of its kind (THREATS T6).

    A person may have lost the right since, and a rule may have been withdrawn or may reject it now.

    Raises:
        NotAllowed: the message says which.
    """
    check_defined(approval, rulebook)
    valid_for = approval.policy.valid_for
    if valid_for is not None and approval.resolved_at is not None:
        until = approval.resolved_at + valid_for
        if latest(clock, view.facts.mark()) >= until:
            raise NotAllowed(
                f"{approval.id} was valid for {in_words(valid_for)}, until {rfc3339(until)}. Ask for a new approval."
            )
    check_not_rejected(approval, rulebook)
    if any(decision.stage == POLICY_STAGE for decision in approval.decisions_in_force):
        check_ruled(approval, rulebook)
    check_approved(approval, rulebook, "Ask for a new approval.")


def _is_abandoned(tx: Transaction, approval: Approval, now: datetime, is_held: Callable[[str], bool]) -> bool:
    """Return True if the process that ran the approval's flow is dead, and no other has taken the flow over.

    Raises:
        Conflict: the process lives, but is stopped.
    """
    holders = [holder for _, holder in tx.flows.silent(now, approval.flow)]
    if any(map(is_held, holders)):
        raise Conflict(
            f"The process that carries {approval.id} out does not answer, but it has not ended. Kill it first: "
            "otherwise it may go on, and the action may still happen."
        )
    return bool(holders)


def _outcome(succeeded: bool, note: str | None) -> Outcome:
    if succeeded:
        return Outcome(OutcomeState.SUCCEEDED, {"note": note} if note else None)
    return Outcome(OutcomeState.FAILED, None, note or "It failed.")
