"""The approvals that a flow waits for: the one that started it, and those that it opens itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from mcp_hitl.desk.transactions.edit import complete
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.desk.transactions.log_entries import locked, record
from mcp_hitl.desk.transactions.submit import Request, open_approval
from mcp_hitl.domain.approvals.approval import Approval, Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.evidence.events import Started
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.durations import duration
from mcp_hitl.domain.values.errors import Invalid, NotAllowed
from mcp_hitl.domain.values.instants import in_words
from mcp_hitl.domain.values.payload import Payload, payload_of
from mcp_hitl.engine.codec import plain
from mcp_hitl.engine.journal import Journal
from mcp_hitl.engine.pauses import Pauses
from mcp_hitl.engine.run_ends import Place, Suspended
from mcp_hitl.engine.secrecy import check_hides
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View


def start(tx: Transaction, approval: Approval, now: datetime) -> None:
    """Record, once, that an approved action is being carried out."""
    if approval.status is Status.APPROVED and tx.approvals.set_outcome(
        approval.id, Outcome(OutcomeState.RUNNING), was=(OutcomeState.NONE,)
    ):
        record(tx, approval, Started(), now)


@dataclass(frozen=True, slots=True)
class _Wait:
    """One wait of a flow: its place, and what the flow gave for it."""

    place: Place
    payload: Any
    span: timedelta | None
    kind: str | None
    title: str | None
    first: bool
    """Whether it is for the approval that started the flow."""
    went_on: bool
    """Whether an earlier run went on after it."""

    @property
    def known(self) -> str | None:
        """The id of the approval, if an earlier run waited here."""
        return self.place.entry.output if self.place.entry is not None else None


class Waits:
    """The approvals that one run of a flow waits for."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        pauses: Pauses,
        *,
        rulebook: Rulebook,
        effects: Effects,
        new_id: Callable[[datetime], str],
        refused: NotAllowed | None,
    ) -> None:
        """Write to `journal`.

        `refused` is the reason why the approval that started the flow may no longer be used although it was approved,
        as found when the flow was claimed.
        """
        self._store = store
        self._journal = journal
        self._rulebook = rulebook
        self._effects = effects
        self._new_id = new_id
        self._refused = refused
        self._adopted = journal.approval.id in journal.waited_for
        """True if a wait for the approval that started the flow has begun."""
        self._pauses = pauses

    async def wait_for(
        self, place: Place, payload: Any, *, expires_in: str | timedelta | None, kind: str | None, title: str | None
    ) -> Approval:
        """Return the resolved approval of this place, and open it first if necessary.

        Raises:
            Suspended: it is pending.
            Held: the emergency stop is on.
            NotAllowed: it was approved but may no longer be used; the step that would act can raise this later, too.
        """
        first = place.entry.output == self._journal.approval.id if place.entry is not None else not self._adopted
        self._adopted = self._adopted or first
        span = duration(expires_in) if isinstance(expires_in, str) else expires_in
        wait = _Wait(place, plain(payload), span, kind, title, first, self._journal.went_on(place))
        if place.given_up:
            await self._pauses.given_up(place)
        self._check(wait)
        asked = self._rulebook.kinds.get(kind or self._journal.approval.kind)
        if asked is not None and place.entry is None:
            check_hides(asked, payload)
        if wait.first and self._journal.approval.status is not Status.PENDING:
            return await self._resolved(wait)
        approval = await self._waited(wait)
        self._journal.secrecy.add(approval)
        return approval

    async def _waited(self, wait: _Wait) -> Approval:
        """Return the approval of this place when it is resolved."""
        place = wait.place
        self._journal.turns.finding(place)
        approval, released = await self._found(wait), False
        if approval is None:
            released = self._journal.alone
            approval = await self._journal.transact(partial(self._reach, wait, wait.known, release=released))
        if approval.status is Status.PENDING:
            if released:
                raise Suspended
            await self._pauses.until_resolved(place, approval.id)
            approval = await self._journal.transact(partial(self._reach, wait, approval.id))
        await self._journal.end(place, approval.resolved_at)
        if approval.status is Status.APPROVED:
            self._journal.rely_on(place, approval)
        return approval

    def _check(self, wait: _Wait) -> None:
        """Refuse arguments that cannot be met.

        Raises:
            Invalid: the message says why.
        """
        if wait.first:
            self._check_first(wait)
        elif wait.kind is not None and wait.kind not in self._rulebook.kinds:
            raise Invalid(f"There is no kind {wait.kind!r}. Use one of: {', '.join(sorted(self._rulebook.kinds))}.")

    def _check_first(self, wait: _Wait) -> None:
        """Refuse arguments that the approval that started the flow cannot take any more: its policy has set them."""
        approval = self._journal.approval
        if wait.kind not in (None, approval.kind) or wait.title is not None:
            raise Invalid(
                "The first wait of a flow is for the approval that started it, so it cannot have another kind or title."
            )
        given = approval.expires_at - approval.requested_at
        if wait.span is not None and wait.span < given:
            raise Invalid(
                f"The first wait of a flow is for the approval that started it, which was given {in_words(given)}. "
                f"To give it only {in_words(wait.span)}, set the timeout of its kind."
            )

    async def _found(self, wait: _Wait) -> Approval | None:
        """Return the approval that an earlier run waited for, if there is nothing to write before it is used.

        A flow that goes on after its approval only reads.
        """
        if wait.known is None or self._journal.held_back:
            return None
        known = wait.known

        def look(view: View) -> Approval | None:
            approval = view.approvals.get(known)
            if approval is not None:
                self._check_usable(view, wait, approval)
            return approval

        return await self._store.read(look)

    def _reach(
        self, wait: _Wait, known: str | None, tx: Transaction, now: datetime, *, release: bool = False
    ) -> Approval:
        """Return the approval of this place, opened if necessary. With `release`, release the flow if it is pending."""
        if known is not None:
            approval = locked(tx, known)
        else:
            approval = self._adopt(tx, wait, now) if wait.first else self._open(tx, wait, now)
            self._journal.put(entry := wait.place.done(approval.id))
            wait.place.noted = entry
        if approval.status is Status.PENDING and release:
            self._journal.leave(tx, FlowState.WAITING)
        self._check_usable(tx, wait, approval)
        if approval.id == self._journal.approval.id:  # decided while the flow was on its way here
            start(tx, approval, now)
        return approval

    def _check_usable(self, view: View, wait: _Wait, approval: Approval) -> None:
        if approval.status is Status.APPROVED and not wait.went_on:
            self._journal.check_in(view, wait.place, approval)

    async def _resolved(self, wait: _Wait) -> Approval:
        """Return the approval that started the flow, in the state in which the claim found it."""
        approval = self._journal.approval
        if wait.place.entry is None:
            self._admitted(approval, wait.payload)
        await self._journal.end(wait.place, approval.resolved_at)
        if wait.place.entry is None:
            self._journal.write_later(wait.place.done(approval.id))
        if approval.status is Status.APPROVED:
            if self._refused is not None and not wait.went_on:
                raise self._refused
            self._journal.rely_on(wait.place, approval)
        return approval

    def _adopt(self, tx: Transaction, wait: _Wait, now: datetime) -> Approval:
        """Return the approval that started the flow. If the flow has completed its payload, that is a new revision."""
        approval = locked(tx, self._journal.approval.id)
        admitted = self._admitted(approval, wait.payload)
        if approval.status is Status.PENDING and approval.revision == 1 and admitted.digest != approval.digest:
            kind = self._rulebook.kinds[approval.kind]
            return complete(tx, approval, admitted, kind, self._rulebook, now, self._effects)
        return approval

    def _admitted(self, approval: Approval, payload: Any) -> Payload:
        """Return the payload that the flow completed. A stored payload is not checked again."""
        made = payload_of(payload, {})
        known = made.digest in (approval.digest, approval.asked_digest)
        return made if known else self._rulebook.kinds[approval.kind].admit(payload)

    def _open(self, tx: Transaction, wait: _Wait, now: datetime) -> Approval:
        asked = self._journal.approval
        kind = self._rulebook.kinds[wait.kind or asked.kind]
        request = Request(
            requester=Principal(asked.requester, Established(asked.requested_as or Established.PROGRAM)),
            kind=kind,
            payload=kind.admit(wait.payload),
            claim=wait.title,
            dedup_key=None,
            id=self._new_id(now),
            form=kind.form_of(wait.payload),
            flow=self._journal.lease.flow,
            timeout=wait.span,
        )
        return open_approval(tx, request, now, self._rulebook, self._effects)
