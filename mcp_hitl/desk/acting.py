"""Desk methods that change state: ask, decide, edit, cancel, redeem, stop."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from mcp_hitl.desk.looking import Looking, check_id
from mcp_hitl.desk.transactions import decide, edit, pause, redeem, submit
from mcp_hitl.desk.transactions.submit import Request
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.seen import Audience, Seen, as_seen_by
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.evidence.audit import content_digest
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.canonical import JsonObject, check_text
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.ids import RANDOM_BITS, approval_id
from mcp_hitl.domain.values.payload import Payload
from mcp_hitl.domain.values.text import visible
from mcp_hitl.store.transaction import Transaction

MAX_KEY = 200
MAX_KIND = 64
MAX_CLAIM = 500


class Acting(Looking):
    """The part of the desk that changes state. Each method is one transaction; the acting principal comes first."""

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
            dedup_key=content_digest(dedup_key),
            id=approval_id(clock, secrets.randbits(RANDOM_BITS)),
            form=kind.form_of(payload),
        )
        opened = await self.store.write(lambda tx: submit.open_or_join(tx, request, clock, self.rulebook))
        if opened.digest == request.payload.digest:
            return as_seen_by(Audience.HOLDER, opened, kind)
        return self.see(requester, opened, self.clock())

    async def decide(
        self,
        approver: Principal,
        shown: Shown,
        verdict: Verdict,
        *,
        assurance: Assurance,
        comment: str | None = None,
        answer: JsonObject | None = None,
        looked: timedelta | None = None,
    ) -> Seen:
        """Record an approver's decision on what they were shown; see `decide.decide`.

        `looked` is how long they had it on screen, if the caller knows better than `shown` does.

        Raises:
            NotFound, AlreadyResolved, Conflict, NotAllowed, Invalid, Paused: nothing was changed.
        """
        vote = decide.Vote(
            approver=self._who(approver),
            verdict=verdict,
            assurance=assurance,
            comment=comment,
            answer=answer,
            looked=shown.looked(self.clock()) if looked is None else looked,
        )
        return await self._change(
            approver, shown.approval, lambda tx: decide.decide(tx, shown, vote, self.clock(), self.rulebook)
        )

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
        kind = self._kind(approval.kind)
        wanted = edit.Revision(
            editor=self._who(editor),
            shown=shown,
            payload=kind.admit(payload),
            assurance=assurance,
            comment=comment,
            form=kind.form_of(payload),
        )
        edited = await self.store.write(lambda tx: edit.edit(tx, wanted, self.clock(), kind, self.rulebook))
        return self.see(editor, edited, self.clock())

    def admit(self, kind_name: str, payload: JsonObject) -> Payload:
        """Check a payload without storing anything; return it as it would be stored.

        Raises:
            Invalid: there is no such kind, or the payload does not fit it.
        """
        return self._kind(kind_name).admit(payload)

    async def cancel(self, principal: Principal, approval_id: str, reason: str | None = None) -> Seen:
        """Cancel a pending approval that the principal requested.

        Raises:
            NotFound, NotAllowed, AlreadyResolved, Invalid: nothing was changed.
        """
        who = self._who(principal)
        return await self._change(
            principal, approval_id, lambda tx: decide.cancel(tx, who, approval_id, reason, self.clock())
        )

    async def lift_cooldown(self, approver: Principal, approval_id: str, *, assurance: Assurance) -> Seen:
        """Allow a rejected payload to be requested again; this needs the same assurance as a decision.

        Raises:
            NotFound, NotAllowed, Conflict: nothing was changed.
        """
        who = self._who(approver)
        return await self._change(
            approver,
            approval_id,
            lambda tx: decide.lift_cooldown(tx, who, approval_id, assurance, self.clock(), self.rulebook),
        )

    async def redeem(self, caller: Principal, approval_id: str, digest: str) -> Seen:
        """Use an approval once; see `redeem.redeem`.

        Raises:
            NotFound, NotAllowed, Conflict, Paused: it cannot be used, and nothing was changed.
        """
        who = self._who(caller)

        def work(tx: Transaction) -> Approval:
            held = tx.approvals.get(approval_id)
            kind = self.rulebook.kinds.get(held.kind) if held else None
            return redeem.redeem(tx, who, approval_id, digest, self.clock(), kind, self.rulebook)

        check_id(approval_id)
        used = await self.store.write(work)
        return as_seen_by(Audience.HOLDER, used, self.rulebook.kinds.get(used.kind))

    async def report(self, caller: Principal, approval_id: str, succeeded: bool, note: str | None = None) -> Seen:
        """Record the outcome of a redeemed action.

        Raises:
            NotFound, NotAllowed, Conflict, Invalid: nothing was changed.
        """
        who = self._who(caller)
        return await self._change(
            caller, approval_id, lambda tx: redeem.report(tx, who, approval_id, succeeded, note, self.clock())
        )

    async def reconcile(self, person: Principal, approval_id: str, succeeded: bool, *, assurance: Assurance) -> Seen:
        """Record the true outcome where it is unknown; see `redeem.reconcile`.

        Raises:
            NotFound, NotAllowed, Conflict: nothing was changed.
        """
        who = self._who(person)
        return await self._change(
            person,
            approval_id,
            lambda tx: redeem.reconcile(tx, who, approval_id, succeeded, assurance, self.clock(), self.rulebook),
        )

    async def pause(self, who: Principal, kind: str | None = None) -> bool:
        """Pause a kind, or everything. Return False if it was paused already.

        Raises:
            Invalid: the name cannot be a kind's name.
        """
        # Any name: an emergency stop must not need the policy that the kind is in.
        if kind is not None and (not 1 <= len(kind) <= MAX_KIND or visible(kind) != kind):
            raise Invalid(f"kind must be a plain name of at most {MAX_KIND} characters.")
        return await self.store.write(lambda tx: pause.pause(tx, self._who(who), kind, self.clock()))

    async def resume(self, who: Principal, kind: str | None = None) -> bool:
        """Resume a kind, or everything. Return False if it was not paused."""
        return await self.store.write(lambda tx: pause.resume(tx, self._who(who), kind, self.clock()))

    async def reset_clock(self, who: Principal) -> datetime:
        """Trust the clock again instead of the latest instant ever recorded. Return that instant."""
        return await self.store.write(lambda tx: pause.reset_clock(tx, self._who(who), self.clock()))

    def _kind(self, name: str) -> Kind:
        kind = self.rulebook.kinds.get(name)
        if kind is None:
            raise Invalid(f"There is no such kind. Use one of: {', '.join(sorted(self.rulebook.kinds))}.")
        return kind

    def _who(self, principal: Principal) -> Principal:
        return self.rulebook.people.identify(principal)

    async def _change(self, who: Principal, approval_id: str, work: Callable[[Transaction], Approval]) -> Seen:
        check_id(approval_id)
        return self.see(who, await self.store.write(work), self.clock())
