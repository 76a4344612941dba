"""Reads the emergency stops; changes the emergency stops."""

from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.approvals.stop import Stop


class StopReads(Protocol):
    """Reads the emergency stops."""

    def paused(self, kind: str | None) -> bool:
        """Return True if everything, or this kind, is paused."""
        ...

    def all(self) -> list[Stop]:
        """Return what is paused, by whom and since when; everything first, then by kind."""
        ...


class StopChanges(StopReads, Protocol):
    """Changes the emergency stops."""

    def pause(self, kind: str | None, by: str, at: datetime) -> bool:
        """Pause a kind, or everything. Return False if it was paused already."""
        ...

    def resume(self, kind: str | None) -> bool:
        """Resume a kind, or everything. Return False if it was not paused."""
        ...
