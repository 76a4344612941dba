"""Sign-in at the inbox: links and sessions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.clock import BELIEVABLE

LINK_LIFE = timedelta(minutes=10)
"""A sign-in link can be opened once within this time."""
LINK_REACH = LINK_LIFE + BELIEVABLE
"""A link that reaches further was made while the clock was far ahead, and is void."""
SESSION_LIFE = timedelta(days=7)


class LinkEnd(Enum):
    """How a sign-in link ended."""

    USED = "used"
    VOIDED = "voided"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser in which somebody is signed in.

    `digest` is the digest of the secret in its cookie, `token_digest` that of the token that its pages send with every
    action: cookies go to every port of a host, but only the pages of one port have the token.

    `assurance` is what a decision in this session counts for, since the person authenticated at `authenticated_at`.
    """

    digest: str
    token_digest: str
    who: Principal
    assurance: Assurance
    authenticated_at: datetime
    since: datetime
    until: datetime

    def lasts_at(self, now: datetime) -> bool:
        """Return True if the session is valid at `now`. One that began while the clock was far ahead is not."""
        return now < self.until and self.since - now <= BELIEVABLE
