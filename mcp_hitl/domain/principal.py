"""Who is acting, and how we know. Never taken from a tool argument."""

from dataclasses import dataclass, field
from enum import StrEnum

LOCAL = "local"
"""In a stage's approvers: whoever is at this machine. As an id: the requester on loopback without a token."""


class Established(StrEnum):
    """How a principal was established; it decides how much its word can count."""

    OS_USER = "os-user"
    """The operating system says who runs this process."""
    LOOPBACK = "loopback"
    """Somebody on this machine reached the loopback endpoint; nobody said who."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An acting party: an id such as `os:ana` or `local`, its groups, and how it was established."""

    id: str
    established: Established
    groups: frozenset[str] = field(default_factory=frozenset[str])

    def matches(self, approver: str) -> bool:
        """Whether a policy's approver entry (an id, `group:NAME` or `local`) means this principal."""
        if approver == LOCAL:
            return self.established in {Established.OS_USER, Established.LOOPBACK}
        if approver.startswith("group:"):
            return approver.removeprefix("group:") in self.groups
        return approver == self.id


LOOPBACK = Principal(LOCAL, Established.LOOPBACK)
