"""What the desk asks of a database. SQLite keeps it now; nothing here is something that only SQLite can do.

Each `read` is one consistent snapshot, each `write` one transaction. The work is a plain function that is handed a
view or a transaction and may be called from any thread; what it returns comes back after the commit, and what it
raises undoes it. Rows that a write depends on are read with `lock`, which no other write passes until the commit.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol, TypeVar

from mcp_hitl.domain.approval import Approval, Decision, Outcome, Status
from mcp_hitl.domain.audit import Entry, Recorded
from mcp_hitl.domain.canonical import JsonObject

T = TypeVar("T")


class View(Protocol):
    """What can be read."""

    def get(self, approval_id: str) -> Approval | None:
        """The approval with its decisions, or None."""
        ...

    def pending(self, now: datetime, *, kind: str | None, after: str | None, limit: int) -> list[Approval]:
        """The oldest pending approvals that are not overdue at `now`, from behind the id `after`, in order of id."""
        ...

    def count_pending(self, now: datetime, *, kind: str | None, most: int) -> int:
        """How many there are of those, counted up to `most`."""
        ...

    def keyed(self, requester: str, kind: str, dedup_key: str) -> Approval | None:
        """The approval that this requester and kind has under a key, in any status."""
        ...

    def latest_equal(self, requester: str, kind: str, digest: str, status: Status) -> Approval | None:
        """The newest approval of the same requester, kind and payload in `status`; if pending, one without a key."""
        ...

    def entries(self, approval_id: str) -> list[Recorded]:
        """The audit entries of one approval, in order."""
        ...

    def news(self, after: int, limit: int) -> Sequence[tuple[int, str]]:
        """`(seq, approval id)` of the audit entries behind `after`, in order."""
        ...

    def last_seq(self) -> int:
        """The `seq` of the newest audit entry; 0 where there is none."""
        ...

    def counter(self) -> Decimal:
        """What the counter stands at."""
        ...


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

    def set_outcome(self, approval_id: str, outcome: Outcome) -> None:
        """Record how the approved action went."""
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


class Store(Protocol):
    """A database that is open."""

    async def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on one snapshot.

        Raises:
            Unavailable: the database cannot be read now.
        """
        ...

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction and return once it is durable.

        Raises:
            Unavailable: nothing was changed; the database stayed locked, or the disk is full.
        """
        ...

    async def changed(self) -> None:
        """Wait until something may have been committed since the last call, by this process or another."""
        ...

    async def close(self) -> None:
        """Finish the writes that are queued and let go of the database."""
        ...
