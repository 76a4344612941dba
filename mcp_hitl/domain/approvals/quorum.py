"""The one place that computes a status from decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mcp_hitl.domain.approvals.approval import Approval, Decision, Status
from mcp_hitl.domain.policy.policy import Verdict

POLICY_STAGE = 0
"""The stage of a decision that a policy rule made."""

POLICY = "policy"
"""The `established` of a decision that a policy rule made instead of a person."""


@dataclass(frozen=True, slots=True)
class Quorum:
    """The progress of the present stage: approvals needed and given, and rejections of the whole approval."""

    stage: int
    needed: int
    approved: int
    rejected: int


def quorum_of(approval: Approval, decisions: Sequence[Decision]) -> Quorum:
    """Count the decisions in force; `stage` (from 1) is the first that still needs approvals, or the last.

    Rejections count across stages, once for each person.
    """
    rejected = len({decision.approver for decision in decisions if decision.verdict is Verdict.REJECT})
    quorums = [
        Quorum(
            number, stage.quorum, sum(d.verdict is Verdict.APPROVE and d.stage == number for d in decisions), rejected
        )
        for number, stage in enumerate(approval.policy.stages, start=1)
    ]
    return next((quorum for quorum in quorums if quorum.approved < quorum.needed), quorums[-1])


def stage_of(approval: Approval) -> int:
    """Return the stage that an approval is in, counted from 1."""
    return quorum_of(approval, approval.decisions_in_force).stage


def is_last_approval(approval: Approval) -> bool:
    """Return True if one more approval in the present stage is all that is missing."""
    quorum = quorum_of(approval, approval.decisions_in_force)
    return quorum.stage == len(approval.policy.stages) and quorum.approved + 1 >= quorum.needed


def resolve(approval: Approval, decisions: Sequence[Decision], now: datetime) -> Status | None:
    """Return the status that `decisions` on the current revision give a pending approval at `now`; None if still open.

    The deadline comes first: a decision that arrives later has no effect. If the policy itself decided (stage 0), its
    decision alone counts.
    """
    if now >= approval.expires_at:
        return Status.EXPIRED
    for decision in decisions:
        if decision.stage == POLICY_STAGE:
            return Status.APPROVED if decision.verdict is Verdict.APPROVE else Status.REJECTED
    quorum = quorum_of(approval, decisions)
    if quorum.rejected >= approval.policy.rejections:
        return Status.REJECTED
    if quorum.stage == len(approval.policy.stages) and quorum.approved >= quorum.needed:
        return Status.APPROVED
    return None
