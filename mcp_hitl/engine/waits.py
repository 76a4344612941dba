"""The approvals that a flow waits for: the one that started it, and those that it opens itself."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from mcp_hitl.desk.transactions.edit import complete
from mcp_hitl.desk.transactions.record import locked, record
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
from mcp_hitl.engine.flow import Place, Suspended
from mcp_hitl.engine.journal import Journal
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View


def start(tx: Transaction, approval: Approval, now: datetime) -> None:
    """Record, once, that an approved action is being carried out."""
    if approval.status is Status.APPROVED and tx.approvals.set_outcome(
        approval.id, Outcome(OutcomeState.RUNNING), was=(OutcomeState.NONE,)
    ):
        record(tx, approval, Started(), now)


class Waits:
    """The approvals that one run of a flow waits for."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        *,
        rulebook: Rulebook,
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
        self._new_id = new_id
        self._refused = refused
        self._count = 0

    async def wait_for(
        self, place: Place, payload: Any, *, expires_in: str | timedelta | None, kind: str | None, title: str | None
    ) -> Approval:
        """Return the resolved approval of this place, and open it first if necessary.

        Raises:
            Suspended: it is pending.
            Held: the emergency stop is on.
            NotAllowed: it was approved but may no longer be used; the step that would act can raise this later, too.
        """
        first, self._count = self._count == 0, self._count + 1
        span = duration(expires_in) if isinstance(expires_in, str) else expires_in
        if first:
            self._check_first(kind, title, span)
        elif kind is not None and kind not in self._rulebook.kinds:
            raise Invalid(f"There is no kind {kind!r}. Use one of: {', '.join(sorted(self._rulebook.kinds))}.")
        known = place.entry.output if place.entry is not None else None
        went_on = self._journal.went_on(place)
        if first and self._journal.approval.status is not Status.PENDING:
            return self._resolved(place, payload, went_on=went_on)

        def check(view: View, approval: Approval) -> None:
            if approval.status is Status.APPROVED and not went_on:
                self._journal.check_in(view, approval)

        def look(view: View) -> Approval | None:
            approval = view.approvals.get(known or "")
            if approval is not None:
                check(view, approval)
            return approval

        def work(tx: Transaction, now: datetime) -> Approval:
            if known is not None:
                approval = locked(tx, known)
            else:
                if first:
                    approval = self._adopt(tx, payload, now)
                else:
                    approval = self._open(tx, payload, now, span, kind, title)
                self._journal.put(tx, place.done(approval.id))
            if approval.status is Status.PENDING:
                self._journal.leave(tx, FlowState.WAITING)
            check(tx, approval)
            if approval.id == self._journal.approval.id:  # decided while the flow was on its way here
                start(tx, approval, now)
            return approval

        # A flow that goes on after its approval only reads, unless there is something to write before.
        approval = await self._store.read(look) if known is not None and not self._journal.held_back else None
        if approval is None or approval.status is Status.PENDING:
            approval = await self._journal.transact(work)
        if approval.status is Status.PENDING:
            raise Suspended
        if approval.status is Status.APPROVED:
            self._journal.rely_on(approval)
        return approval

    def _check_first(self, kind: str | None, title: str | None, span: timedelta | None) -> None:
        """Refuse arguments that the approval that started the flow cannot take any more: its policy has set them."""
        approval = self._journal.approval
        if kind not in (None, approval.kind) or title is not None:
            raise Invalid(
                "The first wait of a flow is for the approval that started it, so it cannot have another kind or title."
            )
        given = approval.expires_at - approval.requested_at
        if span is not None and span < given:
            raise Invalid(
                f"The first wait of a flow is for the approval that started it, which was given {in_words(given)}. "
                f"To give it only {in_words(span)}, set the timeout of its kind."
            )

    def _resolved(self, place: Place, payload: Any, *, went_on: bool) -> Approval:
        """Return the approval that started the flow, in the state in which the claim found it."""
        approval = self._journal.approval
        if place.entry is None:
            self._admitted(approval, payload)
            self._journal.write_later(place.done(approval.id))
        if approval.status is Status.APPROVED:
            if self._refused is not None and not went_on:
                raise self._refused
            self._journal.rely_on(approval)
        return approval

    def _adopt(self, tx: Transaction, payload: Any, now: datetime) -> Approval:
        """Return the approval that started the flow. If the flow has completed its payload, that is a new revision."""
        approval = locked(tx, self._journal.approval.id)
        admitted = self._admitted(approval, payload)
        if approval.status is Status.PENDING and approval.revision == 1 and admitted.digest != approval.digest:
            kind = self._rulebook.kinds[approval.kind]
            return complete(tx, approval, admitted, kind, self._rulebook, now)
        return approval

    def _admitted(self, approval: Approval, payload: Any) -> Payload:
        """Return the payload that the flow completed. A stored payload is not checked again."""
        made = payload_of(payload, {})
        known = made.digest in (approval.digest, approval.asked_digest)
        return made if known else self._rulebook.kinds[approval.kind].admit(payload)

    def _open(
        self,
        tx: Transaction,
        payload: Any,
        now: datetime,
        span: timedelta | None,
        kind_name: str | None,
        title: str | None,
    ) -> Approval:
        asked = self._journal.approval
        kind = self._rulebook.kinds[kind_name or asked.kind]
        request = Request(
            requester=Principal(asked.requester, Established(asked.requested_as or Established.PROGRAM)),
            kind=kind,
            payload=kind.admit(payload),
            claim=title,
            dedup_key=None,
            id=self._new_id(now),
            form=kind.form_of(payload),
            flow=self._journal.lease.flow,
            timeout=span,
        )
        return open_approval(tx, request, now, self._rulebook)
