"""What can be changed in a database, in one transaction. Rows that a write depends on are read with `lock`, which no
other write passes until the commit.
"""

from datetime import datetime
from decimal import Decimal
from typing import Protocol

from mcp_hitl.domain.approval import Approval, Decision, Edit, Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.audit import Entry
from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.clients import Client
from mcp_hitl.domain.flow import FlowState, JournalEntry, Lease
from mcp_hitl.domain.policy import Profile
from mcp_hitl.domain.principal import Principal
from mcp_hitl.domain.session import Session, Whereabouts
from mcp_hitl.store.view import View


class Transaction(View, Protocol):
    """What can be changed."""

    def lock(self, approval_id: str) -> Approval | None:
        """`get`, held until the commit."""
        ...

    def insert(self, approval: Approval) -> None:
        """Store a new approval."""
        ...

    def add_decision(self, decision: Decision) -> bool:
        """Store a decision; False where this approver already decided this stage of this revision."""
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
        """End a pending approval; False where it was not pending any more."""
        ...

    def revise(self, approval: Approval, edit: Edit) -> bool:
        """Replace payload, policy and timing of a pending approval; False if it is resolved or revised by now."""
        ...

    def set_timing(self, approval: Approval) -> None:
        """Store `stage_since`, `timed_to`, `escalated` and what follows from them of a pending approval."""
        ...

    def set_outcome(self, approval_id: str, outcome: Outcome, *, was: tuple[OutcomeState, ...] | None = None) -> bool:
        """Record how the approved action went; False where it is in none of the states `was`."""
        ...

    def add_progress(self, approval_id: str, progress: Progress) -> None:
        """Record what a flow reports."""
        ...

    def pause(self, kind: str | None, by: str, at: datetime) -> bool:
        """Stop a kind, or everything; False where it was stopped already."""
        ...

    def resume(self, kind: str | None) -> bool:
        """End a stop; False where there was none."""
        ...

    def erase(self, approval_id: str, at: datetime) -> None:
        """Remove the contents of a resolved approval; the log stays."""
        ...

    def insert_flow(self, flow_id: str, kind: str, approval_id: str, lease_until: datetime) -> Lease:
        """Store a new flow, held until then."""
        ...

    def claim_flow(self, flow_id: str, now: datetime, until: datetime) -> Lease | None:
        """Take hold of a runnable flow that nobody holds at `now`."""
        ...

    def renew(self, lease: Lease, until: datetime) -> bool:
        """Keep hold of it; False where somebody else has it."""
        ...

    def leave_flow(self, lease: Lease, state: FlowState, *, wake_at: datetime | None = None) -> bool:
        """Let go of a flow in another state; False where somebody else has it."""
        ...

    def wake_flow(self, flow_id: str) -> bool:
        """Make a waiting flow runnable."""
        ...

    def wake_sleepers(self, now: datetime) -> int:
        """Make runnable whose time has come; how many."""
        ...

    def settle_flow(self, flow_id: str, state: FlowState) -> bool:
        """End a flow that stopped as unknown."""
        ...

    def write_journal(self, lease: Lease, entry: JournalEntry) -> bool:
        """Write a step, or finish a claimed one; False where somebody else has the flow or the step is done."""
        ...

    def add_expense(self, approval_id: str, amount: Decimal, expense: JsonObject) -> None:
        """Record the reimbursement of an approved expense; a second one for the same approval fails."""
        ...

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Run a statement on tables of a flow's own, with `?` for each value.

        Raises:
            Invalid: it would begin or end a transaction.
        """
        ...

    def meet(self, client: Client, now: datetime) -> None:
        """Record that a client is connected; of those seen longest ago, all but `MOST_CLIENTS` are forgotten."""
        ...

    def remember(self, now: datetime) -> None:
        """Raise the latest instant ever recorded."""
        ...

    def set_governed(self) -> None:
        """Record that a policy file governs this database."""
        ...

    def set_profile(self, profile: Profile) -> None:
        """Record what kind of place this is."""
        ...

    def count_ask(self, approval_id: str) -> None:
        """Add one to how often it was asked."""
        ...

    def lift_cooldown(self, approval_id: str) -> None:
        """Let the payload of a rejected approval be asked anew."""
        ...

    def append(self, entry: Entry) -> None:
        """Append to the audit log."""
        ...

    def increase_counter(self, amount: Decimal) -> Decimal:
        """Add to the counter and return what it stands at."""
        ...

    def add_link(self, digest: str, who: Principal, until: datetime) -> None:
        """Store that whoever has what has this digest may sign in as `who`, once."""
        ...

    def take_link(self, digest: str, now: datetime) -> Principal | None:
        """Use a link up and return who it signs in; None where there is none any more."""
        ...

    def add_session(self, session: Session) -> None:
        """Store a session."""
        ...

    def end_session(self, digest: str) -> bool:
        """Remove a session; False where there was none."""
        ...

    def shut_out(self) -> tuple[list[Session], int]:
        """Remove every link and every session; the sessions that there were, the oldest first, and how many links."""
        ...

    def drop_outdated(self, now: datetime) -> None:
        """Remove links and sessions whose time is over."""
        ...

    def set_inbox(self, where: Whereabouts | None) -> None:
        """Record where the inbox is, or that it is nowhere."""
        ...
