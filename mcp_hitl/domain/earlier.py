"""What the same requester asked of the same kind beside this, and how it ended (THREATS T24)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mcp_hitl.domain.approval import Approval, Status

SHOWN = 5
"""How many are shown with a request."""
MOST = 1_000
_ORDER = (Status.REJECTED, Status.CANCELLED, Status.EXPIRED, Status.APPROVED, Status.PENDING)


@dataclass(frozen=True, slots=True)
class Earlier:
    """Some of it, what people rejected first and the newest first within; and how many of all ended in which way.

    Whoever asks can make and cancel as many requests as they like: what somebody said no to must not sink below those.
    """

    shown: Sequence[Approval] = ()
    ended: Mapping[Status, int] = field(default_factory=dict[Status, int])
    """Each counted to `MOST`."""

    @property
    def counts(self) -> str:
        """Such as `3 rejected, 5 cancelled`."""
        told = [(status.value, self.ended.get(status, 0)) for status in _ORDER]
        return ", ".join(f"{_number(count)} {status}" for status, count in told if count)


def _number(count: int) -> str:
    return f"{count:,}" if count < MOST else f"{MOST:,} or more"
