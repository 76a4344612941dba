"""Past requests of the same kind by the same requester, and their outcomes (THREATS T24)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.seen import Seen

SHOWN = 5
"""How many past requests are shown with a request."""
MOST = 1_000
_ORDER = (Status.REJECTED, Status.CANCELLED, Status.EXPIRED, Status.APPROVED, Status.PENDING)


@dataclass(frozen=True, slots=True)
class Earlier:
    """A selection of past requests, rejected ones first, then the newest first; and the number of each status.

    A requester can make and cancel any number of requests. These must not push the rejected ones out of sight.
    """

    shown: Sequence[Seen] = ()
    ended: Mapping[Status, int] = field(default_factory=dict[Status, int])
    """The number for each status, counted up to `MOST`."""
    unreadable: int = 0
    """How many of those that would be shown cannot be read."""

    @property
    def counts(self) -> str:
        """The numbers in words, such as `3 rejected, 5 cancelled`."""
        told = [(status.value, self.ended.get(status, 0)) for status in _ORDER]
        words = [f"{_number(count)} {status}" for status, count in told if count]
        return ", ".join(words + [f"of which {self.unreadable} cannot be read"] * bool(self.unreadable))


def _number(count: int) -> str:
    return f"{count:,}" if count < MOST else f"{MOST:,} or more"
