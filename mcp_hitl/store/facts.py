"""Reads the facts of the database itself; changes the facts of the database itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.values.clock import Boot
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.store.moved import Moved


class FactReads(Protocol):
    """Reads the facts of the database itself."""

    def mark(self) -> datetime:
        """Return the latest instant ever recorded."""
        ...

    def fault(self) -> str | None:
        """Check that the database agrees with itself, and that its schema is the one of this program.

        Return the first fault, or None. This reads everything there is.
        """
        ...

    def database_id(self) -> str:
        """Return the id that distinguishes this database from every other."""
        ...

    def governed(self) -> bool:
        """Return True if this database has ever had a policy file."""
        ...

    def policy(self) -> str | None:
        """Return the digest of the policy file that this database was opened with last; None if none is recorded."""
        ...

    def profile(self) -> Profile:
        """Return the profile with which this database was opened."""
        ...

    def restored(self) -> int | None:
        """Return the last entry that was known before an older copy was put back; None once a person has confirmed it.

        It is 0 if nobody knows.
        """
        ...

    def moved(self) -> Moved | None:
        """Return where the desk was moved; None if it is here."""
        ...

    def boot(self, boot_id: str | None) -> Boot | None:
        """Return what is recorded of this start of a computer; several computers may use one database."""
        ...

    def inbox(self, machine: str | None = None) -> Origin | None:
        """Return the address of a machine's inbox, as recorded by the process that served it last."""
        ...

    def spent_ports(self) -> tuple[int, ...]:
        """Return the ports at which this database was served, the latest last: the inbox is never there again."""
        ...


class FactChanges(FactReads, Protocol):
    """Changes the facts of the database itself."""

    def remember(self, now: datetime) -> None:
        """Raise the latest instant ever recorded."""
        ...

    def set_governed(self) -> None:
        """Record that this database has a policy file."""
        ...

    def set_policy(self, digest: str) -> None:
        """Record the digest of the policy file."""
        ...

    def set_profile(self, profile: Profile) -> None:
        """Record the profile of this database."""
        ...

    def set_restored(self, known: int | None) -> None:
        """Record that an older copy was put back, or that a person has confirmed it."""
        ...

    def set_moved(self, moved: Moved | None) -> None:
        """Record that the desk was moved, or that it was not."""
        ...

    def set_boot(self, boot: Boot) -> None:
        """Record a start of a computer, and forget the oldest if there are many."""
        ...

    def set_inbox(self, address: Origin | None, machine: str | None = None) -> None:
        """Record the address of a machine's inbox, or None if there is no inbox."""
        ...

    def set_spent_ports(self, ports: Sequence[int]) -> None:
        """Record the ports at which this database was served, the latest last."""
        ...
