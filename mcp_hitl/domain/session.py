"""Being signed in at the inbox: what a page's cookie stands for; and where the inbox is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from mcp_hitl.domain.principal import Principal

LINK_LIFE = timedelta(minutes=10)
"""How long a sign-in link can be opened, once."""
SESSION_LIFE = timedelta(days=7)


class LinkEnd(Enum):
    """What became of a sign-in link."""

    USED = "used"
    VOIDED = "voided"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser that somebody has signed in with.

    `digest` is of the secret in its cookie, `token_digest` of the token that its pages send along with what they do:
    cookies go to every port of a host, the token stays with the pages of one.
    """

    digest: str
    token_digest: str
    who: Principal
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where the inbox is. `free` is a port that nobody asked for: another process may go on there.

    A port that somebody has named is kept for the server that is told to use it.
    """

    address: str
    free: bool
