"""Approvals: ask for one, look at it, wait for it, edit, cancel and use it."""

import secrets
from collections.abc import Awaitable, Callable

import anyio

from mcp_hitl.desk.context import Context, check_id, found
from mcp_hitl.desk.trails import Trail, trail_of
from mcp_hitl.desk.transactions import decide, edit, redeem, submit
from mcp_hitl.desk.transactions.asker import Asker
from mcp_hitl.desk.transactions.log_entries import instant
from mcp_hitl.desk.transactions.submit import Request
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.past import MOST, SHOWN, Earlier
from mcp_hitl.domain.approvals.seen import Audience, Seen, as_seen_by
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.evidence.events import RESOLVING
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.canonical import JsonObject, check_text
from mcp_hitl.domain.values.errors import Invalid, Unreadable
from mcp_hitl.domain.values.ids import RANDOM_BITS, approval_id
from mcp_hitl.domain.values.payload import Payload
from mcp_hitl.store.view import View

MAX_KEY = 200
MAX_CLAIM = 500
TICK_SECONDS = 15.0
Tick = Callable[[float], Awaitable[None]]
"""Called from time to time while somebody waits, with the seconds waited so far."""


class Approvals:
    """The part of the desk for whoever has an approval in hand. The acting principal comes first."""

    def __init__(self, at: Context) -> None:
        """Work where `at` says."""
        self._at = at

    async def submit(
        self,
        requester: Principal,
        kind_name: str,
        payload: JsonObject,
        *,
        claim: str | None = None,
        dedup_key: str | None = None,
    ) -> Seen:
        """Open an approval, or return the existing one for the same request.

        Raises:
            Invalid: there is no such kind, or the payload does not fit it; nothing was stored.
            Conflict: `dedup_key` belongs to another payload.
            TooMany: the requester has used up a quota.
        """
        kind = self._at.kind(kind_name)
        if claim is not None:
            if len(claim) > MAX_CLAIM:
                raise Invalid(f"title must have at most {MAX_CLAIM} characters.")
            check_text(claim, "title")
        if dedup_key is not None:
            if not 1 <= len(dedup_key) <= MAX_KEY:
                raise Invalid(f"dedup_key must have 1 to {MAX_KEY} characters.")
            check_text(dedup_key, "dedup_key")
        clock = self._at.clock()
        request = Request(
            requester=self._at.who(requester),
            kind=kind,
            payload=kind.admit(payload),
            claim=claim,
            dedup_key=content_digest(dedup_key),
            id=approval_id(clock, secrets.randbits(RANDOM_BITS)),
            form=kind.form_of(payload),
        )
        opened = await self._at.store.write(
            lambda tx: submit.open_or_join(tx, request, clock, self._at.rulebook, self._at.effects)
        )
        if opened.digest == request.payload.digest:
            return as_seen_by(Audience.HOLDER, opened, kind)
        return self._at.see(requester, opened, self._at.clock())

    def admit(self, kind_name: str, payload: JsonObject) -> Payload:
        """Check a payload without storing anything; return it as it would be stored.

        Raises:
            Invalid: there is no such kind, or the payload does not fit it.
        """
        return self._at.kind(kind_name).admit(payload)

    async def get(self, principal: Principal, approval_id: str, *, deciding: Assurance | None = None) -> Seen:
        """Return what the principal sees of one approval.

        Set `deciding` where a person can decide it at once, to the assurance that this would have: whoever may decide
        sees its secrets while it waits.

        Raises:
            NotFound: there is no such approval.
        """
        check_id(approval_id)
        clock = self._at.clock()

        def look(view: View) -> Seen:
            return self._at.see(principal, found(view, approval_id), instant(view, clock), deciding=deciding)

        return await self._at.store.read(look)

    async def earlier(self, principal: Principal, approval: Approval) -> Earlier:
        """Return past requests of the same kind by the same requester (THREATS T24)."""
        clock = self._at.clock()

        def look(view: View) -> Earlier:
            now = instant(view, clock)
            asker = Asker.of(view, approval.requester, approval.requested_as, self._at.rulebook.people)
            found = asker.earlier(approval.kind, approval.id, SHOWN)
            shown = [self._at.see(principal, one, now) for one in found if not isinstance(one, Unreadable)]
            counts = asker.count_earlier(approval.kind, approval.id, now, MOST)
            return Earlier(shown, counts, len(found) - len(shown))

        return await self._at.store.read(look)

    async def trail(self, principal: Principal, approval_id: str) -> Trail:
        """Return the audit entries of one approval, as far as the principal may see it.

        Raises:
            NotFound: there is no such approval.
        """
        check_id(approval_id)
        clock = self._at.clock()

        def look(view: View) -> Trail:
            seen = self._at.see(principal, found(view, approval_id), instant(view, clock))
            return trail_of(view, seen.id)

        return await self._at.store.read(look)

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
        async with self._at.feed.listen(approval_id, lambda _: changed.set(), events=events):
            while True:
                changed = anyio.Event()
                approval = await self.get(principal, approval_id)
                now, waited = self._at.clock(), anyio.current_time() - started
                over = seconds <= waited or self._at.stopping.is_set()
                if approval.seen_at(now) is not Status.PENDING or (until and until(approval)) or over:
                    return approval
                left = min(seconds - waited, (approval.expires_at - now).total_seconds())
                await self._until(changed, left, started, tick)

    async def edit(
        self,
        editor: Principal,
        shown: Shown,
        payload: JsonObject,
        *,
        assurance: Assurance,
        comment: str | None = None,
    ) -> Seen:
        """Replace the payload of a pending approval, as it was shown, by a new revision; see `edit.edit`.

        Raises:
            NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid, Paused: nothing was changed.
        """
        approval = await self.get(editor, shown.approval)
        kind = self._at.kind(approval.kind)
        wanted = edit.Revision(
            editor=self._at.who(editor),
            shown=shown,
            payload=kind.admit(payload),
            assurance=assurance,
            comment=comment,
            form=kind.form_of(payload),
        )
        edited = await self._at.store.write(
            lambda tx: edit.edit(tx, wanted, self._at.clock(), kind, self._at.rulebook, self._at.effects)
        )
        return self._at.see(editor, edited, self._at.clock())

    async def cancel(self, principal: Principal, approval_id: str, reason: str | None = None) -> Seen:
        """Cancel a pending approval that the principal requested.

        Raises:
            NotFound, NotAllowed, AlreadyResolved, Invalid: nothing was changed.
        """
        who = self._at.who(principal)
        return await self._at.change(
            principal, approval_id, lambda tx: decide.cancel(tx, who, approval_id, reason, self._at.clock())
        )

    async def redeem(self, caller: Principal, approval_id: str, digest: str) -> Seen:
        """Use an approval once; see `redeem.redeem`.

        Raises:
            NotFound, NotAllowed, Conflict, Paused: it cannot be used, and nothing was changed.
        """
        who = self._at.who(caller)
        check_id(approval_id)
        used = await self._at.store.write(
            lambda tx: redeem.redeem(tx, who, approval_id, digest, self._at.clock(), self._at.rulebook)
        )
        return as_seen_by(Audience.HOLDER, used, self._at.rulebook.kind_of(used.kind, used.definition))

    async def report(self, caller: Principal, approval_id: str, succeeded: bool, note: str | None = None) -> Seen:
        """Record the outcome of a redeemed action.

        Raises:
            NotFound, NotAllowed, Conflict, Invalid: nothing was changed.
        """
        who = self._at.who(caller)
        return await self._at.change(
            caller, approval_id, lambda tx: redeem.report(tx, who, approval_id, succeeded, note, self._at.clock())
        )

    async def _until(self, changed: anyio.Event, seconds: float, started: float, tick: Tick | None) -> None:
        """Wait for a change or until the time is over, and call `tick` meanwhile."""
        end = anyio.current_time() + max(seconds, 0.001)
        while not changed.is_set() and (now := anyio.current_time()) < end:
            next_tick = started + TICK_SECONDS * ((now - started) // TICK_SECONDS + 1)
            with anyio.move_on_after(min(end, next_tick) - now):
                await changed.wait()
            if tick is not None and not changed.is_set() and anyio.current_time() < end:
                await tick(anyio.current_time() - started)
