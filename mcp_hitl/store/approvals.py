"""Finds single approvals; changes approvals, their decisions, edits and progress."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.approvals.approval import Approval, Decision, Edit, Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.store.lists import Listed


class ApprovalReads(Protocol):
    """Finds single approvals."""

    def get(self, approval_id: str) -> Approval | None:
        """Return the approval with its decisions, or None."""
        ...

    def listed(self, ids: Collection[str]) -> list[Listed]:
        """Return those of these approvals that there are, or why one of them cannot be read, in any order."""
        ...

    def keyed(self, requester: str, kind: str, dedup_key: str) -> Approval | None:
        """Return the requester's approval of this kind with this deduplication key, in any status."""
        ...

    def equal(self, requesters: Collection[str], kind: str, digest: str) -> list[Approval]:
        """Return what each of these requesters has asked with this kind and payload (original or edited).

        That is their newest which is pending, without a deduplication key, and their newest which was rejected.
        """
        ...


class ApprovalChanges(ApprovalReads, Protocol):
    """Changes approvals, their decisions, edits and progress."""

    def lock(self, approval_id: str) -> Approval | None:
        """Return the same as `get`, locked until the commit."""
        ...

    def insert(self, approval: Approval) -> None:
        """Store a new approval."""
        ...

    def add_decision(self, decision: Decision) -> bool:
        """Store a decision. Return False if this approver has already decided this stage of this revision."""
        ...

    def revise(self, approval: Approval, edit: Edit) -> bool:
        """Replace payload, policy and timing of a pending approval. Return False if it is resolved or revised now."""
        ...

    def set_timing(self, approval: Approval) -> None:
        """Store `stage_since`, `timed_to` and `escalated` of a pending approval, and what is derived from them."""
        ...

    def resolve(
        self,
        approval_id: str,
        status: Status,
        at: datetime,
        *,
        answer: JsonObject | None = None,
        reason: str | None = None,
        cooldown_until: datetime | None = None,
    ) -> bool:
        """End a pending approval. Return False if it is no longer pending."""
        ...

    def set_outcome(self, approval_id: str, outcome: Outcome, *, was: tuple[OutcomeState, ...] | None = None) -> bool:
        """Record the outcome of an approved action. Return False if the present state is none of `was`."""
        ...

    def count_ask(self, approval_id: str) -> None:
        """Count one more request for the approval."""
        ...

    def lift_cooldown(self, approval_id: str) -> None:
        """Allow the payload of a rejected approval to be requested again."""
        ...

    def add_progress(self, approval_id: str, progress: Progress, most: int) -> bool:
        """Record a flow's progress report. Return False if the approval has `most` of them."""
        ...

    def erase(self, approval_id: str, at: datetime) -> None:
        """Erase the contents of a resolved approval; the log stays."""
        ...
