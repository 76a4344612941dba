"""The desk: every way in which a front-end reads or changes what is pending."""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from mcp_hitl.desk import deciding, editing, opening, pausing, redeeming
from mcp_hitl.desk.deciding import Said
from mcp_hitl.desk.feed import Feed
from mcp_hitl.desk.opening import Request
from mcp_hitl.desk.recording import instant
from mcp_hitl.domain.approval import Approval, Status
from mcp_hitl.domain.audit import Recorded
from mcp_hitl.domain.canonical import JsonObject, check_text
from mcp_hitl.domain.errors import Invalid, NotAllowed, NotFound
from mcp_hitl.domain.ids import RANDOM_BITS, approval_id, is_approval_id
from mcp_hitl.domain.instants import from_ms, to_ms
from mcp_hitl.domain.kinds import Kind
from mcp_hitl.domain.policy import Assurance, Profile
from mcp_hitl.domain.presentation import Telling, shape, summary
from mcp_hitl.domain.principal import Principal
from mcp_hitl.domain.rulebook import Rulebook
from mcp_hitl.domain.text import visible
from mcp_hitl.store.protocol import Store, Transaction, View

if TYPE_CHECKING:
    from mcp_hitl.desk.evidence import Evidence
    from mcp_hitl.desk.flow import Flow
    from mcp_hitl.desk.runner import Runner
    from mcp_hitl.desk.timing import Timers

T = TypeVar("T")

Clock = Callable[[], datetime]
Tick = Callable[[float], Awaitable[None]]
"""Told every so often, with the seconds waited so far, while somebody waits."""

MOST_COUNTED = 1_000
MAX_KEY = 200
MAX_KIND = 64
MAX_CLAIM = 500
TICK_SECONDS = 15.0
EARLIER = 5
"""How many earlier requests are shown with a new one (THREATS T24)."""


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
        rulebook: Rulebook | None = None,
        retention: timedelta | None = None,
        clock: Clock = system_clock,
    ) -> None:
        """Serve what `store` holds, by `rulebook`; `inbox` says in words where a person decides.

        `retention` is how long contents are kept after an approval has ended; None keeps them.
        """
        self._store = store
        self.rulebook = rulebook or Rulebook()
        self._inbox = inbox
        self._retention = retention
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

    @asynccontextmanager
    async def serve(self, flows: "Mapping[str, type[Flow[Any, Any]]] | None" = None) -> AsyncGenerator["Desk"]:
        """Follow the feed, let time do its work, and run flows while the block runs: what a server does."""
        timers, runner = self.timers(), self.runner(flows)
        async with self.open(), anyio.create_task_group() as tasks:
            tasks.start_soon(timers.run)
            tasks.start_soon(runner.run)
            try:
                yield self
            finally:
                tasks.cancel_scope.cancel()

    def stop(self) -> None:
        """Let everybody who waits go now, with what is known."""
        self.stopping.set()
        self.feed.stir()

    async def check_profile(self) -> None:
        """Keep a team's database from being opened as one person's.

        Raises:
            NotAllowed: it was opened as `team` before, and the policy says `solo`.
        """
        if await self._store.read(lambda view: view.profile()) is not self.rulebook.profile:
            if self.rulebook.profile is Profile.SOLO:
                raise NotAllowed(
                    'This database belongs to a team (profile = "team"). Name its policy in MCP_HITL_CONFIG.'
                )
            await self._store.write(lambda tx: tx.set_profile(Profile.TEAM))

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
            TooMany: a quota is used up.
        """
        kind = self._kind(kind_name)
        if claim is not None:
            if len(claim) > MAX_CLAIM:
                raise Invalid(f"title must have at most {MAX_CLAIM} characters.")
            check_text(claim, "title")
        if dedup_key is not None:
            if not 1 <= len(dedup_key) <= MAX_KEY:
                raise Invalid(f"dedup_key must have 1 to {MAX_KEY} characters.")
            check_text(dedup_key, "dedup_key")
        clock = self.clock()
        request = Request(
            requester=self._who(requester),
            kind=kind,
            payload=kind.admit(payload),
            claim=claim,
            dedup_key=dedup_key,
            id=approval_id(clock, secrets.randbits(RANDOM_BITS)),
            form=kind.form_of(payload),
        )
        return await self._store.write(lambda tx: opening.open_or_join(tx, request, clock, self.rulebook))

    async def decide(self, said: Said) -> Approval:
        """Record what an approver said; see `deciding.decide`.

        Raises:
            NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid, Paused: nothing was changed.
        """
        known = replace(said, approver=self._who(said.approver))
        return await self._change(said.approval_id, lambda tx: deciding.decide(tx, known, self.clock(), self.rulebook))

    async def edit(
        self,
        editor: Principal,
        approval_id: str,
        payload: JsonObject,
        *,
        revision: int,
        digest: str,
        assurance: Assurance,
        comment: str | None = None,
    ) -> Approval:
        """Replace the payload of a pending approval by a new revision; see `editing.edit`.

        Raises:
            NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid, Paused: nothing was changed.
        """
        approval = await self.get(editor, approval_id)
        kind = self._kind(approval.kind)
        wanted = editing.Revision(
            editor=self._who(editor),
            approval_id=approval_id,
            payload=kind.admit(payload),
            revision=revision,
            digest=digest,
            assurance=assurance,
            comment=comment,
            form=kind.form_of(payload),
        )
        return await self._store.write(lambda tx: editing.edit(tx, wanted, self.clock(), kind, self.rulebook))

    def admit(self, kind_name: str, payload: JsonObject) -> None:
        """Check a payload without storing anything.

        Raises:
            Invalid: no such kind, or it does not fit.
        """
        self._kind(kind_name).admit(payload)

    async def cancel(self, principal: Principal, approval_id: str, reason: str | None = None) -> Approval:
        """End a pending approval of the principal's own.

        Raises:
            NotFound, NotAllowed, AlreadyResolved, Invalid: nothing was changed.
        """
        who = self._who(principal)
        return await self._change(approval_id, lambda tx: deciding.cancel(tx, who, approval_id, reason, self.clock()))

    async def lift_cooldown(self, approver: Principal, approval_id: str) -> Approval:
        """Let a rejected payload be asked anew.

        Raises:
            NotFound, NotAllowed, Conflict: nothing was changed.
        """
        who = self._who(approver)
        return await self._change(
            approval_id, lambda tx: deciding.lift_cooldown(tx, who, approval_id, self.clock(), self.rulebook)
        )

    async def redeem(self, caller: Principal, approval_id: str, digest: str) -> Approval:
        """Use an approval for its one time; see `redeeming.redeem`.

        Raises:
            NotFound, NotAllowed, Conflict, Paused: it cannot be used; nothing was changed.
        """
        who = self._who(caller)

        def work(tx: Transaction) -> Approval:
            held = tx.get(approval_id)
            kind = self.rulebook.kinds.get(held.kind) if held else None
            return redeeming.redeem(tx, who, approval_id, digest, self.clock(), kind, self.rulebook)

        return await self._change(approval_id, work)

    async def report(self, caller: Principal, approval_id: str, succeeded: bool, note: str | None = None) -> Approval:
        """Record how the redeemed action went.

        Raises:
            NotFound, NotAllowed, Conflict, Invalid: nothing was changed.
        """
        who = self._who(caller)
        return await self._change(
            approval_id, lambda tx: redeeming.report(tx, who, approval_id, succeeded, note, self.clock())
        )

    async def reconcile(self, person: Principal, approval_id: str, succeeded: bool) -> Approval:
        """Settle an outcome that nobody could tell.

        Raises:
            NotFound, Conflict: there is nothing to settle.
        """
        who = self._who(person)
        return await self._change(
            approval_id, lambda tx: redeeming.reconcile(tx, who, approval_id, succeeded, self.clock())
        )

    async def pause(self, who: Principal, kind: str | None = None) -> bool:
        """Stop a kind, or everything; False where it was stopped already.

        Raises:
            Invalid: no such kind.
        """
        # Any name: an emergency stop must not need the policy that the kind is in.
        if kind is not None and (not 1 <= len(kind) <= MAX_KIND or visible(kind) != kind):
            raise Invalid(f"kind must be a plain name of at most {MAX_KIND} characters.")
        return await self._store.write(lambda tx: pausing.pause(tx, self._who(who), kind, self.clock()))

    async def resume(self, who: Principal, kind: str | None = None) -> bool:
        """End a stop; False where there was none."""
        return await self._store.write(lambda tx: pausing.resume(tx, self._who(who), kind, self.clock()))

    async def get(self, principal: Principal, approval_id: str) -> Approval:
        """Return one approval.

        Raises:
            NotFound: there is none that the principal may see.
        """
        _check_id(approval_id)
        clock = self.clock()
        return await self._store.read(lambda view: _seen(_found(view, approval_id), instant(view, clock)))

    async def earlier(self, principal: Principal, approval: Approval) -> list[Approval]:
        """What the same requester asked of the same kind before, newest first (THREATS T24)."""
        clock = self.clock()

        def look(view: View) -> list[Approval]:
            now = instant(view, clock)
            found = view.earlier(approval.requester, approval.kind, approval.id, EARLIER)
            return [_seen(one, now) for one in found]

        return await self._store.read(look)

    async def pending(
        self, principal: Principal, *, kind: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> Page:
        """Return the oldest pending approvals behind `cursor`.

        Raises:
            Invalid: the cursor is none of ours.
        """
        if cursor is not None and not is_approval_id(cursor):
            raise Invalid("cursor must be a next_cursor that list-pending returned. Leave it out for the first page.")

        def look(view: View) -> Page:
            now = instant(view, self.clock())
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
                now, waited = self.clock(), anyio.current_time() - started
                over = seconds <= waited or self.stopping.is_set()
                if approval.seen_at(now) is not Status.PENDING or over:
                    return approval
                left = min(seconds - waited, (approval.expires_at - now).total_seconds())
                await self._until(changed, left, started, tick)

    def timers(self) -> "Timers":
        """What lets time do its work on this desk."""
        from mcp_hitl.desk.timing import Timers

        kept = self._retention
        erase = None if kept is None else lambda: self.evidence().erase(None, older_than=kept)
        return Timers(self._store, self.clock, erase=erase)

    def runner(self, flows: "Mapping[str, type[Flow[Any, Any]]] | None" = None) -> "Runner":
        """What runs flows on this desk: those of the rulebook's kinds, and `flows` by kind."""
        from mcp_hitl.desk.runner import Runner, load_flows

        known = load_flows(self.rulebook, flows or {})
        return Runner(self._store, self.feed, clock=self.clock, rulebook=self.rulebook, flows=known)

    def evidence(self) -> "Evidence":
        """What an auditor asks."""
        from mcp_hitl.desk.evidence import Evidence

        return Evidence(self._store, self.rulebook, self.clock)

    def shape(self, approval: Approval) -> JsonObject:
        """The approval as programs get it."""
        return shape(approval, self.telling(approval))

    def page_shape(self, page: Page) -> JsonObject:
        """A page as programs get it, without secrets."""
        content: JsonObject = {
            "approvals": [shape(approval, self.telling(approval), redact=True) for approval in page.approvals],
            "total": page.total,
            "total_capped": page.total_capped,
        }
        return content if page.next_cursor is None else content | {"next_cursor": page.next_cursor}

    def summary(self, approval: Approval) -> str:
        """The approval in the words that a model reads."""
        return summary(approval, self.telling(approval))

    def telling(self, approval: Approval) -> Telling:
        """What telling this approval needs."""
        return Telling(self.clock(), self._inbox, self.rulebook.kinds.get(approval.kind))

    @property
    def inbox(self) -> str:
        """Where a person decides, in words."""
        return self._inbox

    def _kind(self, name: str) -> Kind:
        kind = self.rulebook.kinds.get(name)
        if kind is None:
            raise Invalid(f"There is no such kind. Use one of: {', '.join(sorted(self.rulebook.kinds))}.")
        return kind

    def _who(self, principal: Principal) -> Principal:
        return self.rulebook.people.identify(principal)

    async def _change(self, approval_id: str, work: Callable[[Transaction], T]) -> T:
        _check_id(approval_id)
        return await self._store.write(work)

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


def _seen(approval: Approval, now: datetime) -> Approval:
    """The approval as it stands at `now`: a clock that is set back later does not bring it back (THREATS T14)."""
    return replace(approval, status=approval.seen_at(now))
