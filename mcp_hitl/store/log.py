"""Reads the audit log, and the contents behind its digests; appends to the audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.evidence.chain import Entry, Recorded


class LogReads(Protocol):
    """Reads the audit log, and the contents behind its digests."""

    def entries(self, approval_id: str) -> list[Recorded]:
        """Return the audit entries of one approval, in order."""
        ...

    def chain(self, after: int, limit: int) -> list[Recorded]:
        """Return the audit entries after `after`, in order."""
        ...

    def by_approval(self, after: Recorded | None, limit: int) -> list[Recorded]:
        """Return the audit entries of approvals behind `after`, in the order of the approvals' ids, then in order."""
        ...

    def news(self, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """Return `(seq, approval id, event)` of the audit entries after `after`, in order."""
        ...

    def last_seq(self) -> int:
        """Return the `seq` of the newest audit entry; 0 if there is none."""
        ...

    def head(self) -> tuple[int, str]:
        """Return the `seq` and hash of the newest audit entry; 0 and the genesis hash if there is none."""
        ...

    def newest(self) -> datetime | None:
        """Return the time of the newest audit entry; None if there is none."""
        ...

    def lost(self) -> tuple[int, str] | None:
        """Return the newest `seq` and hash that were kept outside the database, if the chain lacks them; else None."""
        ...

    def hash_at(self, seq: int) -> str | None:
        """Return the hash of the entry with this number."""
        ...

    def latest(self, event: str) -> Recorded | None:
        """Return the newest entry with this event that concerns no particular approval."""
        ...

    def count_events(
        self, actors: Sequence[str], kind: str, events: Sequence[str], since: datetime, now: datetime
    ) -> int:
        """Return how many entries with one of these events these actors caused on approvals of a kind after `since`.

        Entries after `now` do not count: they are from a clock that was ahead.
        """
        ...

    def has_entry(self, approval_id: str, event: str, actor: str, established: str) -> bool:
        """Return True if an actor, identified in this way, caused an entry with this event on an approval."""
        ...

    def contents(self, after: str, last: str) -> dict[str, dict[str, str]]:
        """Return the contents stored apart from the log for the approvals after the id `after` up to `last`.

        By approval: canonical JSON by digest.
        """
        ...

    def contents_of(self, approval_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the same for these approvals."""
        ...


class LogChanges(LogReads, Protocol):
    """Appends to the audit log."""

    def append(self, entry: Entry) -> None:
        """Append to the audit log."""
        ...

    def accept_loss(self) -> None:
        """Take the chain as it is from now on, whatever was kept outside the database."""
        ...
