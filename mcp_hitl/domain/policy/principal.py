"""Who is acting, and how we know. This never comes from a tool argument."""

from dataclasses import dataclass, replace
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
    PROGRAM_OS_USER = "program-os-user"
    """A program that uses this package says that this is the user who runs a process."""
    PROGRAM_LOOPBACK = "program-loopback"
    """A program that uses this package says that somebody on this machine asked it."""
    PROGRAM_SIGN_IN_LINK = "program-sign-in-link"
    """A program that uses this package says that somebody opened a sign-in link."""


_SAID = {
    Established.OS_USER: Established.PROGRAM_OS_USER,
    Established.LOOPBACK: Established.PROGRAM_LOOPBACK,
    Established.SIGN_IN_LINK: Established.PROGRAM_SIGN_IN_LINK,
}
AT_THIS_MACHINE = frozenset({*_SAID, *_SAID.values()})
"""Whoever was identified so is at this machine, and may be the same person as anybody else here."""
VOUCHED = frozenset({Established.PROGRAM, *_SAID.values()})
"""Nothing but a program's word says who it was."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who acts: an id such as `os:ana` or `local`, and how they were identified."""

    id: str
    established: Established

    @property
    def as_told(self) -> "Principal":
        """This principal as the record names them if nothing but a program's word says who they are (THREATS T17)."""
        return replace(self, established=_SAID.get(self.established, self.established))

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
