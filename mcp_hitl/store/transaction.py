"""The changes that one transaction can make to a database.

Use `lock` to read rows that a write depends on: no other write can change them until the commit.
"""

from datetime import datetime
from decimal import Decimal
from typing import Protocol

from mcp_hitl.domain.approvals.approval import Approval, Decision, Edit, Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.approvals.clients import Client
from mcp_hitl.domain.approvals.flow import FlowState, JournalEntry, Lease
from mcp_hitl.domain.approvals.session import Session, Whereabouts
from mcp_hitl.domain.evidence.audit import Entry
from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.store.view import View


class Transaction(View, Protocol):
    """The possible changes."""

    def lock(self, approval_id: str) -> Approval | None:
        """Return the same as `get`, locked until the commit."""
        ...

    def insert(self, approval: Approval) -> None:
        """Store a new approval."""
        ...

    def add_decision(self, decision: Decision) -> bool:
        """Store a decision. Return False if this approver has already decided this stage of this revision."""
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

    def revise(self, approval: Approval, edit: Edit) -> bool:
        """Replace payload, policy and timing of a pending approval. Return False if it is resolved or revised now."""
        ...

    def set_timing(self, approval: Approval) -> None:
        """Store `stage_since`, `timed_to` and `escalated` of a pending approval, and what is derived from them."""
        ...

    def set_outcome(self, approval_id: str, outcome: Outcome, *, was: tuple[OutcomeState, ...] | None = None) -> bool:
        """Record the outcome of an approved action. Return False if the present state is none of `was`."""
        ...

    def add_progress(self, approval_id: str, progress: Progress) -> None:
        """Record a flow's progress report."""
        ...

    def pause(self, kind: str | None, by: str, at: datetime) -> bool:
        """Pause a kind, or everything. Return False if it was paused already."""
        ...

    def resume(self, kind: str | None) -> bool:
        """Resume a kind, or everything. Return False if it was not paused."""
        ...

    def erase(self, approval_id: str, at: datetime) -> None:
        """Erase the contents of a resolved approval; the log stays."""
        ...

    def insert_flow(self, flow_id: str, kind: str, approval_id: str, lease_until: datetime) -> Lease:
        """Store a new flow, claimed until `lease_until`."""
        ...

    def claim_flow(self, flow_id: str, now: datetime, until: datetime) -> Lease | None:
        """Claim a runnable flow that nobody has claimed at `now`; None if that fails."""
        ...

    def renew(self, lease: Lease, until: datetime) -> bool:
        """Renew a claim. Return False if somebody else has the flow."""
        ...

    def leave_flow(self, lease: Lease, state: FlowState, *, wake_at: datetime | None = None) -> bool:
        """Release a flow in another state. Return False if somebody else has it."""
        ...

    def wake_flow(self, flow_id: str) -> bool:
        """Make a waiting flow runnable. Return False if it was not waiting."""
        ...

    def wake_sleepers(self, now: datetime) -> int:
        """Make flows runnable whose sleep is over. Return the number of them."""
        ...

    def settle_flow(self, flow_id: str, state: FlowState) -> bool:
        """End a flow that stopped as unknown. Return False if it is not unknown."""
        ...

    def write_journal(self, lease: Lease, entry: JournalEntry) -> bool:
        """Write a step, or complete a claimed one. Return False if somebody else has the flow, or the step is done."""
        ...

    def add_expense(self, approval_id: str, amount: Decimal, expense: JsonObject) -> None:
        """Record the reimbursement of an approved expense; a second one for the same approval fails."""
        ...

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Return the rows of a statement on a flow's own tables, with `?` for each value.

        Raises:
            Invalid: the statement would begin or end a transaction.
        """
        ...

    def meet(self, client: Client, now: datetime) -> None:
        """Record that a client is connected. Only the `MOST_CLIENTS` seen last are kept."""
        ...

    def remember(self, now: datetime) -> None:
        """Raise the latest instant ever recorded."""
        ...

    def set_governed(self) -> None:
        """Record that this database has a policy file."""
        ...

    def set_profile(self, profile: Profile) -> None:
        """Record the profile of this database."""
        ...

    def count_ask(self, approval_id: str) -> None:
        """Count one more request for the approval."""
        ...

    def lift_cooldown(self, approval_id: str) -> None:
        """Allow the payload of a rejected approval to be requested again."""
        ...

    def append(self, entry: Entry) -> None:
        """Append to the audit log."""
        ...

    def increase_counter(self, amount: Decimal) -> Decimal:
        """Add to the counter, and return its new value."""
        ...

    def add_link(self, digest: str, who: Principal, until: datetime) -> None:
        """Store a link: anybody who has the code with this digest may sign in as `who`, once."""
        ...

    def take_link(self, digest: str, now: datetime) -> Principal | None:
        """Use up a link, and return the principal whom it signs in; None if it does not exist any more."""
        ...

    def add_session(self, session: Session) -> None:
        """Store a session."""
        ...

    def end_session(self, digest: str) -> bool:
        """Remove a session. Return False if there was none."""
        ...

    def shut_out(self) -> tuple[list[Session], int]:
        """Remove every link and session. Return the removed sessions, the oldest first, and the number of links."""
        ...

    def drop_outdated(self, now: datetime) -> None:
        """Remove expired links and sessions."""
        ...

    def set_inbox(self, where: Whereabouts | None) -> None:
        """Record the inbox's address, or None if there is no inbox."""
        ...
