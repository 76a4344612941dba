"""The desk: every way in which a front-end reads or changes what is pending."""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import anyio

from mcp_hitl.desk import deciding
from mcp_hitl.desk.deciding import Said
from mcp_hitl.desk.feed import Feed
from mcp_hitl.desk.opening import Request, open_or_join
from mcp_hitl.domain.approval import Approval, Status
from mcp_hitl.domain.audit import Recorded
from mcp_hitl.domain.canonical import JsonObject, check_text
from mcp_hitl.domain.errors import Invalid, NotFound
from mcp_hitl.domain.ids import RANDOM_BITS, approval_id, is_approval_id
from mcp_hitl.domain.instants import from_ms, to_ms
from mcp_hitl.domain.kinds import BUILT_IN, Kind
from mcp_hitl.domain.presentation import shape, summary
from mcp_hitl.domain.principal import Principal
from mcp_hitl.store.protocol import Store, View

Clock = Callable[[], datetime]
Tick = Callable[[float], Awaitable[None]]
"""Told every so often, with the seconds waited so far, while somebody waits."""

MOST_COUNTED = 1_000
MAX_KEY = 200
TICK_SECONDS = 15.0


def system_clock() -> datetime:
    """The present instant in UTC, in the store's precision."""
    return from_ms(to_ms(datetime.now(UTC)))


@dataclass(frozen=True, slots=True)
class Page:
    """Some pending approvals, the cursor of the next page, and how many there are (counted to `MOST_COUNTED`)."""

    approvals: list[Approval]
    next_cursor: str | None
    total: int

    @property
    def total_capped(self) -> bool:
        """Whether counting stopped, so that there may be more than `total`."""
        return self.total >= MOST_COUNTED


class Desk:
    """The one door to state. `open` starts what waiting needs; without it, everything but `wait` works."""

    def __init__(
        self,
        store: Store,
        *,
        inbox: str,
        kinds: Mapping[str, Kind] = BUILT_IN,
        clock: Clock = system_clock,
    ) -> None:
        """Serve what `store` holds; `inbox` says in words where a person decides."""
        self._store = store
        self._kinds = kinds
        self._cooldowns = {kind.name: kind.cooldown for kind in kinds.values()}
        self._inbox = inbox
        self.clock = clock
        self.feed = Feed(store)
        self.stopping = anyio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Desk"]:
        """Follow the change feed while the block runs."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.feed.run)
            try:
                yield self
            finally:
                tasks.cancel_scope.cancel()

    def stop(self) -> None:
        """Let everybody who waits go now, with what is known."""
        self.stopping.set()
        self.feed.stir()

    async def submit(
        self,
        requester: Principal,
        kind_name: str,
        payload: JsonObject,
        *,
        claim: str | None = None,
        dedup_key: str | None = None,
    ) -> Approval:
        """Open an approval, or join the one that was asked for already.

        Raises:
            Invalid: no such kind, or a payload that does not fit it; nothing was stored.
            Conflict: `dedup_key` belongs to another payload.
        """
        kind = self._kinds.get(kind_name)
        if kind is None:
            raise Invalid(f"There is no such kind. Use one of: {', '.join(sorted(self._kinds))}.")
        if claim is not None:
            check_text(claim, "title")
        if dedup_key is not None:
            if not 1 <= len(dedup_key) <= MAX_KEY:
                raise Invalid(f"dedup_key must have 1 to {MAX_KEY} characters.")
            check_text(dedup_key, "dedup_key")
        canonical = kind.admit(payload)
        now = self.clock()
        request = Request(
            requester=requester,
            kind=kind,
            payload=canonical,
            form=kind.form_of(payload),
            claim=claim,
            dedup_key=dedup_key,
            id=approval_id(now, secrets.randbits(RANDOM_BITS)),
        )
        return await self._store.write(lambda tx: open_or_join(tx, request, now))

    async def decide(self, said: Said) -> Approval:
        """Record what an approver said; see `deciding.decide`.

        Raises:
            NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid: nothing was changed.
        """
        _check_id(said.approval_id)
        return await self._store.write(lambda tx: deciding.decide(tx, said, self.clock(), self._cooldowns))

    async def cancel(self, principal: Principal, approval_id: str, reason: str | None = None) -> Approval:
        """End a pending approval of the principal's own.

        Raises:
            NotFound, NotAllowed, AlreadyResolved, Invalid: nothing was changed.
        """
        _check_id(approval_id)
        return await self._store.write(lambda tx: deciding.cancel(tx, principal, approval_id, reason, self.clock()))

    async def lift_cooldown(self, approver: Principal, approval_id: str) -> Approval:
        """Let a rejected payload be asked anew.

        Raises:
            NotFound, NotAllowed, Conflict: nothing was changed.
        """
        _check_id(approval_id)
        return await self._store.write(lambda tx: deciding.lift_cooldown(tx, approver, approval_id, self.clock()))

    async def get(self, principal: Principal, approval_id: str) -> Approval:
        """Return one approval.

        Raises:
            NotFound: there is none that the principal may see.
        """
        _check_id(approval_id)
        return await self._store.read(lambda view: _found(view, approval_id))

    async def pending(
        self, principal: Principal, *, kind: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> Page:
        """Return the oldest pending approvals behind `cursor`.

        Raises:
            Invalid: the cursor is none of ours.
        """
        if cursor is not None and not is_approval_id(cursor):
            raise Invalid("cursor must be a next_cursor that list-pending returned. Leave it out for the first page.")
        now = self.clock()

        def look(view: View) -> Page:
            found = view.pending(now, kind=kind, after=cursor, limit=limit + 1)
            page = found[:limit]
            total = view.count_pending(now, kind=kind, most=MOST_COUNTED)
            return Page(page, page[-1].id if len(found) > limit else None, total)

        return await self._store.read(look)

    async def trail(self, principal: Principal, approval_id: str) -> list[Recorded]:
        """Return the audit entries of one approval, oldest first.

        Raises:
            NotFound: there is none that the principal may see.
        """
        _check_id(approval_id)

        def look(view: View) -> list[Recorded]:
            return view.entries(_found(view, approval_id).id)

        return await self._store.read(look)

    async def counter(self) -> Decimal:
        """What the counter stands at."""
        return await self._store.read(lambda view: view.counter())

    async def wait(
        self, principal: Principal, approval_id: str, *, seconds: float, tick: Tick | None = None
    ) -> Approval:
        """Return the approval as soon as it has left `pending`; or as it is, after `seconds` or when the desk stops.

        Raises:
            NotFound: there is none that the principal may see.
        """
        _check_id(approval_id)
        started = anyio.current_time()
        changed = anyio.Event()
        async with self.feed.listen(approval_id, lambda _: changed.set()):
            while True:
                changed = anyio.Event()
                approval = await self.get(principal, approval_id)
                waited = anyio.current_time() - started
                left = min(seconds - waited, (approval.expires_at - self.clock()).total_seconds())
                if approval.seen_at(self.clock()) is not Status.PENDING or seconds <= waited or self.stopping.is_set():
                    return approval
                await self._until(changed, left, started, tick)

    def shape(self, approval: Approval) -> JsonObject:
        """The approval as programs get it."""
        return shape(approval, self.clock(), inbox=self._inbox)

    def page_shape(self, page: Page) -> JsonObject:
        """A page as programs get it."""
        content: JsonObject = {
            "approvals": [self.shape(approval) for approval in page.approvals],
            "total": page.total,
            "total_capped": page.total_capped,
        }
        return content if page.next_cursor is None else content | {"next_cursor": page.next_cursor}

    def summary(self, approval: Approval) -> str:
        """The approval in the words that a model reads."""
        return summary(approval, self.clock(), inbox=self._inbox)

    @property
    def inbox(self) -> str:
        """Where a person decides, in words."""
        return self._inbox

    async def _until(self, changed: anyio.Event, seconds: float, started: float, tick: Tick | None) -> None:
        """Wait for a change or the time; tick meanwhile."""
        end = anyio.current_time() + max(seconds, 0.001)
        while not changed.is_set() and (now := anyio.current_time()) < end:
            next_tick = started + TICK_SECONDS * ((now - started) // TICK_SECONDS + 1)
            with anyio.move_on_after(min(end, next_tick) - now):
                await changed.wait()
            if tick is not None and not changed.is_set() and anyio.current_time() < end:
                await tick(anyio.current_time() - started)


def _check_id(text: str) -> None:
    if not is_approval_id(text):
        raise NotFound


def _found(view: View, approval_id: str) -> Approval:
    approval = view.get(approval_id)
    if approval is None:
        raise NotFound
    return approval
