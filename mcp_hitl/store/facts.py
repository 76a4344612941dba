"""Reads the facts of the database itself; changes the facts of the database itself."""

from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.approvals.session import Whereabouts
from mcp_hitl.domain.policy.policy import Profile


class FactReads(Protocol):
    """Reads the facts of the database itself."""

    def mark(self) -> datetime:
        """Return the latest instant ever recorded."""
        ...

    def database_id(self) -> str:
        """Return the id that distinguishes this database from every other."""
        ...

    def governed(self) -> bool:
        """Return True if this database has ever had a policy file."""
        ...

    def profile(self) -> Profile:
        """Return the profile with which this database was opened."""
        ...

    def restored(self) -> int | None:
        """Return the last entry that was known before an older copy was put back; None once a person has confirmed it.

        It is 0 if nobody knows.
        """
        ...

    def inbox(self) -> Whereabouts | None:
        """Return the inbox's address, as recorded by the process that served it last."""
        ...


class FactChanges(FactReads, Protocol):
    """Changes the facts of the database itself."""

    def remember(self, now: datetime) -> None:
        """Raise the latest instant ever recorded."""
        ...

    def set_governed(self) -> None:
        """Record that this database has a policy file."""
        ...

    def set_profile(self, profile: Profile) -> None:
        """Record the profile of this database."""
        ...

    def set_restored(self, known: int | None) -> None:
        """Record that an older copy was put back, or that a person has confirmed it."""
        ...

    def set_inbox(self, where: Whereabouts | None) -> None:
        """Record the inbox's address, or None if there is no inbox."""
        ...
