"""Reads flows and their journals; changes flows and their journals."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.approvals.flow import FlowState, JournalEntry, Lease


class FlowReads(Protocol):
    """Reads flows and their journals."""

    def state(self, flow_id: str) -> FlowState | None:
        """Return the state of a flow."""
        ...

    def runnable(self, now: datetime, kinds: Mapping[str, str | None], limit: int) -> list[str]:
        """Return the runnable flows of these kinds and their code that nobody has claimed at `now`.

        A flow whose approval says nothing of its code is of any.
        """
        ...

    def next_wake(self, kinds: Mapping[str, str | None]) -> datetime | None:
        """Return when the next flow wakes from its sleep, or a lease runs out."""
        ...

    def journal(self, flow_id: str) -> list[JournalEntry]:
        """Return the journal of a flow, in order."""
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
        """Make a waiting flow runnable. Return False if it was not waiting."""
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
