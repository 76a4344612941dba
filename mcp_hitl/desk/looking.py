"""Desk methods that read state: get an approval, wait for it, and return it as JSON or text."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import anyio

from mcp_hitl.desk.audience import audience
from mcp_hitl.desk.feed import Feed
from mcp_hitl.desk.transactions import counter
from mcp_hitl.desk.transactions.record import instant
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.past import MOST, SHOWN, Earlier
from mcp_hitl.domain.approvals.seen import Audience, Seen, as_seen_by, hides
from mcp_hitl.domain.evidence.audit import NOWHERE, Event, Recorded
from mcp_hitl.domain.evidence.events import RESOLVING
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import NotFound
from mcp_hitl.domain.values.ids import is_approval_id
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.present.approval_views import Telling, shape, summary, where
from mcp_hitl.store.store import Store
from mcp_hitl.store.view import View

Clock = Callable[[], datetime]
Tick = Callable[[float], Awaitable[None]]
"""Called from time to time while somebody waits, with the seconds waited so far."""

MOST_COUNTED = 1_000
TICK_SECONDS = 15.0
_STOPPING = frozenset({Event.PAUSED, Event.RESUMED})


@dataclass(frozen=True, slots=True)
class Page:
    """Some pending approvals, the cursor of the next page, and the total (counted up to `MOST_COUNTED`)."""

    approvals: list[Seen]
    next_cursor: str | None
    total: int
    counted_all: bool = True
    """False if a search stopped before it had checked all pending approvals; `total` counts only those it checked."""

    @property
    def total_capped(self) -> bool:
        """True if counting stopped, so that there may be more than `total`."""
        return self.total >= MOST_COUNTED or not self.counted_all


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """The changes since a place in the feed: the newest place, each changed approval, and other changes."""

    seq: int
    approvals: list[Seen]
    stops: bool
    """True if something was paused or resumed."""
    signed_out: bool


@dataclass(frozen=True, slots=True)
class Trail:
    """The audit entries of one approval, oldest first, and whether each has its own hash and is in its own place."""

    entries: list[Recorded]
    verified: bool


class Looking:
    """The part of the desk that changes nothing."""

    store: Store
    _inbox: str
    address: Origin | None
    """The inbox's address, such as `http://localhost:8765`; None if there is no inbox."""
    rulebook: Rulebook
    clock: Clock
    feed: Feed
    stopping: anyio.Event

    async def get(self, principal: Principal, approval_id: str, *, deciding: Assurance | None = None) -> Seen:
        """Return what the principal sees of one approval.

        Set `deciding` where a person can decide it at once, to the assurance that this would have: whoever may decide
        sees its secrets while it waits.

        Raises:
            NotFound: there is no such approval.
        """
        check_id(approval_id)
        clock = self.clock()

        def look(view: View) -> Seen:
            return self.see(principal, _found(view, approval_id), instant(view, clock), deciding=deciding)

        return await self.store.read(look)

    def see(
        self, principal: Principal, approval: Approval, now: datetime, *, deciding: Assurance | None = None
    ) -> Seen:
        """Return what the principal sees of an approval at `now`. Every read of the desk goes through here.

        An overdue approval is expired. Setting the clock back later does not revive it (THREATS T14).
        """
        status = approval.seen_at(now)
        held = approval if status is approval.status else replace(approval, status=status)
        kind = self.rulebook.kinds.get(approval.kind)
        if not hides(kind):
            return as_seen_by(Audience.OTHER, held, kind)
        viewer = self.rulebook.people.identify(principal)
        return as_seen_by(audience(viewer, held, self.rulebook, now, deciding), held, kind)

    async def earlier(self, principal: Principal, approval: Approval) -> Earlier:
        """Return past requests of the same kind by the same requester (THREATS T24)."""
        clock = self.clock()

        def look(view: View) -> Earlier:
            now, others = instant(view, clock), (approval.requester, approval.kind, approval.id)
            shown = [self.see(principal, one, now) for one in view.requesters.earlier(*others, SHOWN)]
            return Earlier(shown, view.requesters.count_earlier(*others, now, MOST))

        return await self.store.read(look)

    async def trail(self, principal: Principal, approval_id: str) -> Trail:
        """Return the audit entries of one approval, as far as the principal may see it.

        Raises:
            NotFound: there is no such approval.
        """
        check_id(approval_id)
        clock = self.clock()

        def look(view: View) -> Trail:
            seen = self.see(principal, _found(view, approval_id), instant(view, clock))
            entries = view.log.entries(seen.id)
            return Trail(entries, bool(entries) and all(_in_place(view, recorded) for recorded in entries))

        return await self.store.read(look)

    async def seq(self) -> int:
        """Return the place of the newest change in the feed."""
        return await self.store.read(lambda view: view.log.last_seq())

    async def news(self, principal: Principal, after: int, most: int) -> News | None:
        """Return the changes after that place, in their present state; None if there are more than `most` entries."""
        clock = self.clock()

        def look(view: View) -> News | None:
            found = view.log.news(after, most + 1)
            if len(found) > most:
                return None
            now = instant(view, clock)
            ids = dict.fromkeys(approval_id for _, approval_id, _ in found if approval_id != NOWHERE)
            others = [event for _, approval_id, event in found if approval_id == NOWHERE]
            return News(
                seq=found[-1][0] if found else after,
                approvals=[self.see(principal, _found(view, one), now) for one in ids],
                stops=not _STOPPING.isdisjoint(others),
                signed_out=Event.SIGNED_OUT in others,
            )

        return await self.store.read(look)

    async def counter(self) -> Decimal:
        """Return the counter's value."""
        return await self.store.read(counter.value_of)

    async def wait(
        self,
        principal: Principal,
        approval_id: str,
        *,
        seconds: float,
        tick: Tick | None = None,
        until: Callable[[Approval], bool] | None = None,
    ) -> Seen:
        """Return what the principal sees of the approval as soon as it has left `pending` or `until` returns True.

        After `seconds`, or when the desk stops, return it in its present state.

        Raises:
            NotFound: there is no such approval.
        """
        check_id(approval_id)
        started = anyio.current_time()
        changed = anyio.Event()
        events = RESOLVING if until is None else None
        async with self.feed.listen(approval_id, lambda _: changed.set(), events=events):
            while True:
                changed = anyio.Event()
                approval = await self.get(principal, approval_id)
                now, waited = self.clock(), anyio.current_time() - started
                over = seconds <= waited or self.stopping.is_set()
                if approval.seen_at(now) is not Status.PENDING or (until and until(approval)) or over:
                    return approval
                left = min(seconds - waited, (approval.expires_at - now).total_seconds())
                await self._until(changed, left, started, tick)

    def shape(self, approval: Seen) -> JsonObject:
        """Return the approval as JSON for programs."""
        return shape(approval, self.telling(approval))

    def page_shape(self, page: Page) -> JsonObject:
        """Return a page as JSON for programs."""
        content: JsonObject = {
            "approvals": [shape(approval, self.telling(approval)) for approval in page.approvals],
            "total": page.total,
            "total_capped": page.total_capped,
        }
        return content if page.next_cursor is None else content | {"next_cursor": page.next_cursor}

    def summary(self, approval: Seen) -> str:
        """Return the approval as text for a model."""
        return summary(approval, self.telling(approval))

    def telling(self, approval: Approval) -> Telling:
        """Return what is needed to show this approval: the time, its kind, and where to decide it."""
        kind = self.rulebook.kinds.get(approval.kind)
        return Telling(self.clock(), self._inbox, kind, self.page_of(approval.id))

    def page_of(self, approval_id: str) -> str | None:
        """Return the URL of an approval's page in the inbox, without any secret; None if there is no inbox."""
        return None if self.address is None else f"{self.address}/approvals/{approval_id}"

    def where(self, approval_id: str) -> str:
        """Return in words where a person decides it."""
        return where(self.page_of(approval_id), self._inbox)

    async def _until(self, changed: anyio.Event, seconds: float, started: float, tick: Tick | None) -> None:
        """Wait for a change or until the time is over, and call `tick` meanwhile."""
        end = anyio.current_time() + max(seconds, 0.001)
        while not changed.is_set() and (now := anyio.current_time()) < end:
            next_tick = started + TICK_SECONDS * ((now - started) // TICK_SECONDS + 1)
            with anyio.move_on_after(min(end, next_tick) - now):
                await changed.wait()
            if tick is not None and not changed.is_set() and anyio.current_time() < end:
                await tick(anyio.current_time() - started)


def check_id(text: str) -> None:
    if not is_approval_id(text):
        raise NotFound


def _found(view: View, approval_id: str) -> Approval:
    approval = view.approvals.get(approval_id)
    if approval is None:
        raise NotFound
    return approval


def _in_place(view: View, recorded: Recorded) -> bool:
    """Return True if an entry matches its hash, and its neighbours are the original ones."""
    following = next(iter(view.log.chain(recorded.seq, 1)), None)
    return (
        recorded.intact
        and recorded.previous == view.log.hash_at(recorded.seq - 1)
        and (following is None or following.previous == recorded.hash)
    )
