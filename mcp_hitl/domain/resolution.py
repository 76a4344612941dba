"""The one place where a status comes from: what the decisions add up to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mcp_hitl.domain.approval import Approval, Decision, Status
from mcp_hitl.domain.policy import Verdict

POLICY_STAGE = 0
"""The stage of a decision that a rule of the policy made."""


@dataclass(frozen=True, slots=True)
class Quorum:
    """How far the present stage is: approvals needed and given, rejections of the whole approval."""

    stage: int
    needed: int
    approved: int
    rejected: int


def quorum_of(approval: Approval, decisions: Sequence[Decision]) -> Quorum:
    """Count the decisions in force; `stage` (from 1) is the first that still lacks approvals, or the last.

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
    """The stage that an approval is in, from 1."""
    return quorum_of(approval, approval.decisions_in_force).stage


def resolve(approval: Approval, decisions: Sequence[Decision], now: datetime) -> Status | None:
    """Return the status that `decisions` on the present revision give a pending approval at `now`, None for still open.

    The deadline comes first: a decision that arrives after it decides nothing. What the policy decides itself (stage 0)
    stands alone.
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
