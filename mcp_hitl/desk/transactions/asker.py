"""Who asks: all the ids under which one requester has asked, and what they have asked for under them together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.quorum import POLICY_STAGE
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.principal import AT_THIS_MACHINE, LOCAL, Principal
from mcp_hitl.domain.values.errors import Unreadable
from mcp_hitl.store.lists import Listed
from mcp_hitl.store.view import View

_ASKING = (Event.OPENED.value, Event.ASKED_AGAIN.value)


@dataclass(frozen=True, slots=True)
class Asker:
    """One requester, under every id that they may have asked under, their present one first.

    Over HTTP on loopback we don't know who asks (`local`), so it may be any account of this machine, and any account of
    it may have asked that way. Otherwise an agent gets a second answer, and a second quota, by changing its transport.
    """

    view: View
    ids: tuple[str, ...]

    @staticmethod
    def of(view: View, requester: str, established: str | None, people: People) -> "Asker":
        """Return whoever asks as `requester`, identified in the way `established`."""
        ids = people.accounts(people.person(requester))
        if requester == LOCAL:
            ids = (*ids, *view.requesters.identified_by(AT_THIS_MACHINE))
        elif established in AT_THIS_MACHINE:
            ids = (*ids, LOCAL)
        return Asker(view, tuple(dict.fromkeys(ids)))

    def keyed(self, kind: str, dedup_key: str) -> Approval | None:
        """Return what they asked for under this deduplication key."""
        found = (self.view.approvals.keyed(one, kind, dedup_key) for one in self.ids)
        return next((one for one in found if one is not None), None)

    def equal(self, kind: str, digest: str) -> list[Approval]:
        """Return their newest with this payload that are pending, or were rejected."""
        return self.view.approvals.equal(self.ids, kind, digest)

    def count_asked(self, kind: str, since: datetime, now: datetime) -> int:
        """Return how often they have asked after `since` and not after `now`."""
        return self.view.log.count_events(self.ids, kind, _ASKING, since, now)

    def open(self, kind: str, now: datetime) -> tuple[int, int]:
        """Return how many of their requests are pending, and the bytes of their payloads."""
        return self.view.requesters.open(self.ids, kind, now)

    def count_ruled(self, kind: str, rule: str, since: datetime, now: datetime) -> int:
        """Return how many of their requests a rule has approved after `since` and not after `now`."""
        return sum(self.view.requesters.count_ruled(one, kind, rule, since, now) for one in self.ids)

    def earlier(self, kind: str, but: str, limit: int) -> Sequence[Listed]:
        """Return their other requests of a kind, in the order of `RequesterReads.earlier`; what is unreadable last."""
        found = [one for each in self.ids for one in self.view.requesters.earlier(each, kind, but, limit)]
        readable = [one for one in found if not isinstance(one, Unreadable)]
        newest = sorted(readable, key=lambda one: one.id, reverse=True)
        ordered: list[Listed] = [*sorted(newest, key=_rank), *(one for one in found if isinstance(one, Unreadable))]
        return ordered[:limit]

    def count_earlier(self, kind: str, but: str, now: datetime, most: int) -> Counter[Status]:
        """Return how many of those have which status at `now`, each counted up to `most` or a little more."""
        counts: Counter[Status] = Counter()
        for one in self.ids:
            counts.update(self.view.requesters.count_earlier(one, kind, but, now, most))
        return counts


def has_asked(view: View, caller: Principal, approval: Approval) -> bool:
    """Return True if an approval is the caller's: they asked for it, or for the same again and so joined it."""
    return caller.is_requester(approval.requester) or view.log.has_entry(
        approval.id, Event.ASKED_AGAIN.value, caller.id, caller.established.value
    )


def _rank(approval: Approval) -> int:
    """Return 0 for what people rejected, 1 for what a rule rejected, and 2 for all else."""
    if approval.status is not Status.REJECTED:
        return 2
    return int(any(decision.stage == POLICY_STAGE for decision in approval.decisions))
