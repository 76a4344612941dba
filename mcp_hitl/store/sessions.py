"""Reads sign-in links and sessions; changes sign-in links and sessions."""

from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.approvals.session import Session
from mcp_hitl.domain.policy.principal import Principal


class SessionReads(Protocol):
    """Reads sign-in links and sessions."""

    def get(self, digest: str) -> Session | None:
        """Return the session whose secret has this digest, expired or not."""
        ...

    def all(self) -> list[Session]:
        """Return every session, expired or not, the oldest first."""
        ...

    def has_link(self, digest: str) -> bool:
        """Return True if there is an unused link with this digest."""
        ...


class SessionChanges(SessionReads, Protocol):
    """Changes sign-in links and sessions."""

    def add_link(self, digest: str, who: Principal, until: datetime) -> None:
        """Store a link: anybody who has the code with this digest may sign in as `who`, once."""
        ...

    def take_link(self, digest: str, now: datetime) -> Principal | None:
        """Use up a link, and return the principal whom it signs in.

        Return None if it does not exist any more, or reaches further than `LINK_REACH`.
        """
        ...

    def add(self, session: Session) -> None:
        """Store a session."""
        ...

    def end(self, digest: str) -> bool:
        """Remove a session. Return False if there was none."""
        ...

    def shut_out(self) -> tuple[list[Session], int]:
        """Remove every link and session. Return the removed sessions, the oldest first, and the number of links."""
        ...

    def drop_outdated(self, now: datetime) -> None:
        """Remove expired links and sessions."""
        ...
