"""Reads flows and their journals; changes flows and their journals."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.approvals.flow import FlowState, JournalEntry, Lease
from mcp_hitl.domain.values.errors import Unreadable


class FlowReads(Protocol):
    """Reads flows and their journals."""

    def state(self, flow_id: str) -> FlowState | None:
        """Return the state of a flow."""
        ...

    def runnable(
        self, now: datetime, kinds: Mapping[str, str | None], limit: int, alive: Sequence[str] = ()
    ) -> list[str]:
        """Return the runnable flows of these kinds and their code whose lease has run out, and not held by `alive`.

        A lease that reaches further than `LEASE` from `now` has run out, too. A flow whose approval says nothing of
        its code is of any.
        """
        ...

    def silent(self, now: datetime, flow_id: str | None = None) -> list[tuple[str, str]]:
        """Return `(approval, holder)` of approved actions, or of this flow, whose lease ran out while it was held.

        Only the first few.
        """
        ...

    def unclaimed(self, now: datetime, flow_id: str | None = None) -> list[tuple[str, str, str | None]]:
        """Return `(approval, kind, code)` of actions, or of this flow, approved a minute ago and claimed by nobody.

        Only the first few.
        """
        ...

    def holders(self) -> list[str]:
        """Return the names of the locks under which flows are claimed, each once."""
        ...

    def next_wake(self, kinds: Mapping[str, str | None]) -> datetime | None:
        """Return when the next flow wakes from its sleep, or a lease runs out."""
        ...

    def journals(self, flow_ids: Collection[str]) -> dict[str, list[JournalEntry] | Unreadable]:
        """Return the journal of each of these flows, each branch in order, or why it cannot be read."""
        ...


class FlowChanges(FlowReads, Protocol):
    """Changes flows and their journals."""

    def insert(self, flow_id: str, kind: str, approval_id: str, lease_until: datetime) -> Lease:
        """Store a new flow, claimed until `lease_until`."""
        ...

    def claim(self, flow_ids: Sequence[str], now: datetime, until: datetime, holder: str | None = None) -> list[Lease]:
        """Claim those of these flows that are runnable and whose lease has run out. `holder` is the name of a lock."""
        ...

    def disown(self, holder: str, but: Sequence[str]) -> None:
        """Make `NOBODY` the holder of what this holder holds, apart from the flows `but`. The leases go on."""
        ...

    def release(self, lease: Lease, until: datetime) -> bool:
        """Give a claim back, so that anybody can claim the flow after `until`. Return False if somebody else has it."""
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

    def settle(self, flow_id: str, state: FlowState, was: FlowState = FlowState.UNKNOWN) -> bool:
        """End a flow that nobody will carry on, and let nobody write to it. Return False if its state is not `was`."""
        ...

    def write_journal(self, lease: Lease, entries: Sequence[JournalEntry]) -> bool:
        """Write steps, or complete claimed ones. Return False if somebody else has the flow, or one of them is done."""
        ...

    def mark_journal(self, lease: Lease, entry: JournalEntry) -> bool:
        """Set the state and the turn of a step that is in the journal. Return False if somebody else has the flow."""
        ...
