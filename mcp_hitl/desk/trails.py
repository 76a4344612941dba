"""The audit entries of one approval, and whether they stand."""

from collections.abc import Sequence
from dataclasses import dataclass

from mcp_hitl.domain.evidence.chain import Recorded
from mcp_hitl.store.view import View


@dataclass(frozen=True, slots=True)
class Trail:
    """The audit entries of one approval, oldest first, and whether each has its own hash and is in its own place.

    If the chain lacks its newest known head, its end was cut off, and nobody knows what stood there (THREATS T35).
    """

    entries: list[Recorded]
    verified: bool


def trail_of(view: View, approval_id: str) -> Trail:
    """Return the trail of an approval that exists."""
    entries = view.log.entries(approval_id)
    return Trail(entries, bool(entries) and _in_place(view, entries) and view.log.lost() is None)


def _in_place(view: View, entries: Sequence[Recorded]) -> bool:
    """Return True if each matches its hash, and its neighbours in the log are the original ones.

    Most entries of a long trail are neighbours of each other, and nothing more is read for these.
    """
    before: Recorded | None = None
    for recorded in entries:
        if before is not None and recorded.seq == before.seq + 1:
            joined = recorded.previous == before.hash
        else:
            joined = (before is None or _followed(view, before)) and recorded.previous == view.log.hash_at(
                recorded.seq - 1
            )
        if not (joined and recorded.intact):
            return False
        before = recorded
    return before is None or _followed(view, before)


def _followed(view: View, recorded: Recorded) -> bool:
    following = next(iter(view.log.chain(recorded.seq, 1)), None)
    return following is None or following.previous == recorded.hash
