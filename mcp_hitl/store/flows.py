"""Reads flows and their journals; changes flows and their journals."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.approvals.flow import FlowState, JournalEntry, Lease


class FlowReads(Protocol):
    """Reads flows and their journals."""

    def state(self, flow_id: str) -> FlowState | None:
        """Return the state of a flow."""
        ...

    def runnable(self, now: datetime, kinds: Sequence[str], limit: int) -> list[str]:
        """Return the runnable flows of these kinds that nobody has claimed at `now`."""
        ...

    def next_wake(self, kinds: Sequence[str]) -> datetime | None:
        """Return when the next flow wakes from its sleep, or a lease runs out."""
        ...

    def journal(self, flow_id: str) -> list[JournalEntry]:
        """Return the journal of a flow, each branch in order."""
        ...


class FlowChanges(FlowReads, Protocol):
    """Changes flows and their journals."""

    def insert(self, flow_id: str, kind: str, approval_id: str, lease_until: datetime) -> Lease:
        """Store a new flow, claimed until `lease_until`."""
        ...

    def claim(self, flow_id: str, now: datetime, until: datetime) -> Lease | None:
        """Claim a runnable flow that nobody has claimed at `now`; None if that fails."""
        ...

    def renew(self, lease: Lease, until: datetime) -> bool:
        """Renew a claim. Return False if somebody else has the flow."""
        ...

    def leave(self, lease: Lease, state: FlowState, *, wake_at: datetime | None = None) -> bool:
        """Release a flow in another state. Return False if somebody else has it."""
        ...

    def wake(self, flow_id: str) -> bool:
        """Make a flow runnable that waits or sleeps. Return False if it does neither."""
        ...

    def wake_sleepers(self, now: datetime) -> int:
        """Make flows runnable whose sleep is over. Return the number of them."""
        ...

    def settle(self, flow_id: str, state: FlowState) -> bool:
        """End a flow that stopped as unknown. Return False if it is not unknown."""
        ...

    def write_journal(self, lease: Lease, entry: JournalEntry) -> bool:
        """Write a step, or complete a claimed one. Return False if somebody else has the flow, or the step is done."""
        ...
