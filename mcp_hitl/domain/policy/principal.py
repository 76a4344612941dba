"""Who is acting, and how we know. This never comes from a tool argument."""

from dataclasses import dataclass
from enum import StrEnum

LOCAL = "local"
"""In a stage's approvers: anyone at this machine. As an id: the requester on loopback without a token."""


class Established(StrEnum):
    """How a principal was identified. This decides how much their decision can count."""

    OS_USER = "os-user"
    """The operating system reports the user who runs this process."""
    LOOPBACK = "loopback"
    """Somebody on this machine used the loopback endpoint; we don't know who."""
    SIGN_IN_LINK = "sign-in-link"
    """Somebody opened a link that was made at this machine and that works once."""
    PROGRAM = "program"
    """A program that uses this package names the principal."""


AT_THIS_MACHINE = frozenset({Established.OS_USER, Established.LOOPBACK, Established.SIGN_IN_LINK})
"""Whoever was identified so is at this machine, and may be the same person as anybody else here."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who acts: an id such as `os:ana` or `local`, and how they were identified."""

    id: str
    established: Established

    @property
    def is_local(self) -> bool:
        """True if we only know that this principal is somebody at this machine."""
        return self.established in AT_THIS_MACHINE

    def may_be(self, other: str, established: str | None = None) -> bool:
        """Return True if this may be the same person as `other`: both are at this machine, and one is unidentified."""
        if self.id == other:
            return True
        other_is_local = other == LOCAL or established in AT_THIS_MACHINE
        return self.is_local and other_is_local and LOCAL in {self.id, other}

    def is_requester(self, requester: str) -> bool:
        """Return True if this principal is `requester`; anyone at the machine counts as a requester on loopback."""
        return self.id == requester or (requester == LOCAL and self.is_local)


LOOPBACK = Principal(LOCAL, Established.LOOPBACK)
