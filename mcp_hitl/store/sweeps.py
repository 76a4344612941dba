"""Finds approvals that something has to be done about, whoever they belong to."""

from datetime import datetime
from typing import Protocol

from mcp_hitl.store.lists import Listed


class SweepReads(Protocol):
    """Finds approvals that something has to be done about, whoever they belong to."""

    def every(self, after: str, limit: int, last: str | None = None) -> list[Listed]:
        """Return the approvals after the id `after`, up to `last` if that is given, in order of id."""
        ...

    def due(self, now: datetime, limit: int) -> list[str]:
        """Return the pending approvals that have timed events due at `now`, longest due first."""
        ...

    def next_due(self) -> datetime | None:
        """Return when the next timed event of a pending approval is due; None if there is none."""
        ...

    def erasable(self, until: datetime, after: tuple[int, str] | None, limit: int) -> list[tuple[int, str]]:
        """Return the places, the last part of which is the id, of approvals resolved by `until` and not erased.

        They come after the place `after`, in the order in which they were resolved.
        """
        ...

    def unsettled(self, limit: int) -> list[str]:
        """Return the approvals whose outcome is unknown, in order of id."""
        ...

    def open_kinds(self) -> dict[str, int]:
        """Return the number of approvals that are pending or have a running flow, by kind."""
        ...
