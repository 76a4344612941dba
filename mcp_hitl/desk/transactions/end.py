"""Ends the status `pending`: the new status, its audit entry, and the waiting flow, in one transaction."""

from dataclasses import replace
from datetime import datetime, timedelta

from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.desk.transactions.log_entries import record
from mcp_hitl.domain.approvals.approval import Approval, Decision, Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.quorum import POLICY, POLICY_STAGE, quorum_of, resolve
from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.evidence.events import ENDINGS, Decided, result_of
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import AlreadyResolved
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.store.transaction import Transaction


def end(
    tx: Transaction,
    approval: Approval,
    status: Status,
    now: datetime,
    who: Principal | None = None,
    *,
    answer: JsonObject | None = None,
    reason: str | None = None,
    cooldown: timedelta | None = None,
) -> Approval:
    """Resolve a pending approval, and wake the flow that waits for it. Return the resolved approval.

    Raises:
        AlreadyResolved: it is no longer pending.
    """
    until = None if cooldown is None or status is not Status.REJECTED else now + cooldown
    if not tx.approvals.resolve(approval.id, status, now, answer=answer, reason=reason, cooldown_until=until):
        raise AlreadyResolved(f"{approval.id} was resolved a moment ago. Look at it again.")
    ended = ENDINGS[status](
        answer=content_digest(answer), reason=content_digest(reason), cooldown_until=until and rfc3339(until)
    )
    record(tx, approval, ended, now, who)
    if approval.flow is not None:
        tx.flows.wake(approval.flow)
    return replace(approval, status=status, resolved_at=now, answer=answer, reason=reason, cooldown_until=until)


def settle(
    tx: Transaction,
    approval: Approval,
    decision: Decision,
    now: datetime,
    who: Principal | None,
    *,
    effects: Effects,
    answer: JsonObject | None = None,
    cooldown: timedelta | None = None,
) -> Approval:
    """Apply a decision that was just added: resolve, or move to the next stage. Return the resulting approval.

    Raises:
        Unavailable: it would approve a kind whose effect is not in `effects`.
    """
    decisions = (*approval.decisions_in_force, decision)
    status = resolve(approval, decisions, now)
    decided = replace(approval, decisions=(*approval.decisions, decision))
    if status is None:
        if quorum_of(approval, decisions).stage != quorum_of(approval, approval.decisions_in_force).stage:
            decided = replace(decided, stage_since=now, timed_to=now, escalated=())
            tx.approvals.set_timing(decided)
        return decided
    effect = effects.of(approval.kind) if status is Status.APPROVED else None
    ended = end(tx, decided, status, now, who, answer=answer, cooldown=cooldown)
    if effect is not None:
        outcome = Outcome(OutcomeState.SUCCEEDED, effect(tx, ended))
        tx.approvals.set_outcome(approval.id, outcome)
        record(tx, approval, result_of(outcome), now)
        return replace(ended, outcome=outcome)
    return ended


def decide_by_rule(
    tx: Transaction,
    approval: Approval,
    rule: str,
    verdict: Verdict,
    now: datetime,
    *,
    effects: Effects,
    cooldown: timedelta | None,
) -> Approval:
    """Record a policy rule's decision, under the rule's name. Return the resulting approval."""
    decision = Decision(
        approval=approval.id,
        revision=approval.revision,
        stage=POLICY_STAGE,
        approver=f"{POLICY}:{rule}",
        established=POLICY,
        verdict=verdict,
        comment=None,
        assurance=Assurance.NONE,
        at=now,
    )
    tx.approvals.add_decision(decision)
    decided = Decided(
        verdict=verdict, stage=POLICY_STAGE, digest=approval.digest, approver=decision.approver, rule=rule
    )
    record(tx, approval, decided, now, assurance=Assurance.NONE)
    return settle(tx, approval, decision, now, None, effects=effects, cooldown=cooldown)
