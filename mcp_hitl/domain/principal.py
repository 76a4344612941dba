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
    SIGN_IN_LINK = "sign-in-link"
    """Somebody opened a link that was made at this machine, once."""
    PROGRAM = "program"
    """A program that uses this package says who acts."""


_AT_THIS_MACHINE = frozenset({Established.OS_USER, Established.LOOPBACK, Established.SIGN_IN_LINK})


@dataclass(frozen=True, slots=True)
class Principal:
    """An acting party: an id such as `os:ana` or `local`, its groups, and how it was established."""

    id: str
    established: Established
    groups: frozenset[str] = field(default_factory=frozenset[str])

    @property
    def is_local(self) -> bool:
        """Whether all we know is that somebody is at this machine."""
        return self.established in _AT_THIS_MACHINE

    def may_be(self, other: str, established: str | None = None) -> bool:
        """Whether this could be the same person as `other`: somebody at the machine, of whom nobody said who it is."""
        if self.id == other:
            return True
        other_is_local = other == LOCAL or established in _AT_THIS_MACHINE
        return self.is_local and other_is_local and LOCAL in {self.id, other}

    def is_requester(self, requester: str) -> bool:
        """Whether `requester` is this principal; somebody at the machine stands for whoever asked on loopback."""
        return self.id == requester or (requester == LOCAL and self.is_local)


LOOPBACK = Principal(LOCAL, Established.LOOPBACK)
