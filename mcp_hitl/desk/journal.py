"""One flow's journal while a process runs it. Every write is conditional on the lease."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from mcp_hitl.desk.editing import complete
from mcp_hitl.desk.flow import FlowChanged, Held, LeaseLost, Place, Suspended, Unknown
from mcp_hitl.desk.opening import Request, open_approval
from mcp_hitl.desk.recording import begin, record
from mcp_hitl.desk.redeeming import check_usable
from mcp_hitl.domain.approval import Approval, Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.audit import Event, content_digest
from mcp_hitl.domain.canonical import canonical, check_text, digest_of, read_back
from mcp_hitl.domain.durations import duration
from mcp_hitl.domain.errors import HitlError, Invalid, NotFound, Paused, Unavailable
from mcp_hitl.domain.flow import FlowState, JournalEntry, Lease
from mcp_hitl.domain.instants import from_ms, to_ms
from mcp_hitl.domain.principal import Established, Principal
from mcp_hitl.domain.rulebook import Rulebook
from mcp_hitl.store.protocol import Store, Transaction, View

T = TypeVar("T")

MOST_PROGRESS = 500
"""Characters of one report."""


def start(tx: Transaction, approval: Approval, now: datetime) -> None:
    """Say, once, that what was approved is being carried out."""
    if approval.status is Status.APPROVED and tx.set_outcome(
        approval.id, Outcome(OutcomeState.RUNNING), was=(OutcomeState.NONE,)
    ):
        record(tx, approval, Event.STARTED, now)


class Journal:
    """What the steps of one run read and write."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        approval: Approval,
        entries: list[JournalEntry],
        *,
        clock: Callable[[], datetime],
        rulebook: Rulebook,
        new_id: Callable[[datetime], str],
        refused: HitlError | None = None,
    ) -> None:
        """Run under `lease`, over what the journal holds already; `approval` is the one that started the flow.

        `refused` is why it may not be acted on although it was approved, as the claim found it.
        """
        self._store = store
        self._lease = lease
        self._approval = approval
        self._entries = {entry.position: entry for entry in entries}
        self._clock = clock
        self._rulebook = rulebook
        self._new_id = new_id
        self._refused = refused
        self._position = 0
        self._waits = 0
        self._later: list[Callable[[Transaction, datetime], None]] = []
        self._relied_on: list[Approval] = []
        self._stop: Exception | None = None

    @contextmanager
    def stopping(self) -> Generator[None]:
        """Around a step: what stops the flow stops it for good, also where the flow's code catches everything."""
        try:
            yield
        except (Suspended, LeaseLost, Unknown, FlowChanged, Unavailable) as stop:
            self._stop = stop
            raise

    def next(self, step: str, name: str) -> Place:
        """The place of the next step.

        Raises:
            FlowChanged: the journal has another step there.
        """
        if self._stop is not None:
            raise self._stop
        position, self._position = self._position, self._position + 1
        entry = self._entries.get(position)
        if entry is not None and (entry.step, entry.name) != (step, name):
            raise FlowChanged(
                f"the flow's code changed: step {position + 1} was {entry.step} {entry.name!r} and is {step} {name!r}"
            )
        return Place(position, step, name, entry)

    def finish(self) -> None:
        """Check that the run came to the journal's end.

        Raises:
            FlowChanged: the journal has steps that the code does not have any more.
            Exception: the one that stopped the run, if its code caught it.
        """
        if self._stop is not None:
            raise self._stop
        if any(position >= self._position for position in self._entries):
            raise FlowChanged("the flow's code changed: it ended before the steps that its journal holds")

    def key(self, place: Place) -> str:
        """The idempotency key of a step."""
        return f"{self._lease.flow}:{place.position}"

    async def check(self) -> None:
        """Make sure that a step may act now (THREATS T13, T15, T21).

        Raises:
            Held: the emergency stop is on; the flow stays runnable and goes on after it.
            NotAllowed: what was approved may not be acted on any more.
        """
        await self._store.read(self._check)

    def write_later(self, entry: JournalEntry) -> None:
        """Write an entry together with the next one: before anything else acts."""
        self._later.append(lambda tx, now: self._put(tx, entry))

    def report_later(self, place: Place, message: str) -> None:
        """Record progress, together with the next entry."""
        check_text(message, "message")
        progress = Progress(step=place.name[:100], message=message[:MOST_PROGRESS], at=self._clock())

        def work(tx: Transaction, now: datetime) -> None:
            self._put(tx, place.done(None))
            tx.add_progress(self._approval.id, progress)
            record(tx, self._approval, Event.PROGRESS, now, report=content_digest([progress.step, progress.message]))

        self._later.append(work)

    async def flush(self) -> None:
        """Write what was put off."""
        if self._later:
            await self._write(lambda tx, now: None)

    async def write(self, entry: JournalEntry, *, checked: bool = False) -> None:
        """Write an entry; `checked` makes sure in the same transaction that the step may act."""

        def work(tx: Transaction, now: datetime) -> None:
            if checked:
                self._check(tx)
            self._put(tx, entry)

        await self._write(work)

    async def write_with(self, place: Place, action: Callable[[Transaction], tuple[str, T]]) -> T:
        """Run `action` and write the entry with its output, in one transaction; returns what else it returns."""

        def work(tx: Transaction, now: datetime) -> T:
            self._check(tx)
            output, result = action(tx)
            self._put(tx, place.done(output))
            return result

        return await self._write(work)

    async def sleep(self, place: Place, length: str | timedelta) -> None:
        """Sleep until the time that the journal says, or says from now on."""
        if place.entry is not None and place.entry.output is not None:
            wake_at = from_ms(int(place.entry.output))
            if wake_at > self._clock() and await self._write(lambda tx, now: self._sleep_on(tx, wake_at, now)):
                raise Suspended
            return
        span = duration(length) if isinstance(length, str) else length

        def work(tx: Transaction, now: datetime) -> None:
            wake_at = now + span
            self._put(tx, place.done(str(to_ms(wake_at))))
            self._leave(tx, FlowState.SLEEPING, wake_at)

        await self._write(work)
        raise Suspended

    async def wait(
        self, place: Place, payload: Any, *, expires_in: str | timedelta | None, kind: str | None, title: str | None
    ) -> Approval:
        """The approval of this place, resolved; opened first where it is not yet.

        Raises:
            Suspended: it is pending.
            Held: the emergency stop is on.
            NotAllowed: it was approved and may not be acted on any more; also later, by the step that would act.
        """
        first, self._waits = self._waits == 0, self._waits + 1
        if first and kind not in (None, self._approval.kind):
            raise Invalid("The first wait of a flow is for the approval that started it, so it takes no other kind.")
        known = place.entry.output if place.entry is not None else None
        went_on = any(position > place.position for position in self._entries)

        if known in (None, self._approval.id) and first and self._approval.status is not Status.PENDING:
            return self._resolved(place, payload, went_on=went_on)

        def check(view: View, approval: Approval) -> None:
            if approval.status is Status.APPROVED and not went_on:
                self._check(view, approval)

        def look(view: View) -> Approval | None:
            approval = view.get(known or "")
            if approval is not None:
                check(view, approval)
            return approval

        def work(tx: Transaction, now: datetime) -> Approval:
            if known is not None:
                approval = self._found(tx, known)
            else:
                if first:
                    approval = self._adopt(tx, payload, now)
                else:
                    approval = self._open(tx, payload, now, expires_in, kind, title)
                self._put(tx, place.done(approval.id))
            if approval.status is Status.PENDING:
                self._leave(tx, FlowState.WAITING, None)
            check(tx, approval)
            if approval.id == self._approval.id:  # decided while the flow was on its way here
                start(tx, approval, now)
            return approval

        # A flow that goes on after its approval only reads, unless there is something to write before.
        approval = await self._store.read(look) if known is not None and not self._later else None
        if approval is None or approval.status is Status.PENDING:
            approval = await self._write(work)
        if approval.status is Status.PENDING:
            raise Suspended
        if approval.status is Status.APPROVED:
            self._relied_on.append(approval)
        return approval

    def _resolved(self, place: Place, payload: Any, *, went_on: bool) -> Approval:
        """The approval that started the flow, which stays as the claim found it."""
        approval = self._approval
        if place.entry is None:
            self._admitted(approval, payload)
            self.write_later(place.done(approval.id))
        if approval.status is Status.APPROVED:
            if self._refused is not None and not went_on:
                raise self._refused
            self._relied_on.append(approval)
        return approval

    def _adopt(self, tx: Transaction, payload: Any, now: datetime) -> Approval:
        """The approval that started the flow; if the flow has completed its payload, at a revision that says so."""
        approval = self._found(tx, self._approval.id)
        admitted = self._admitted(approval, payload)
        if approval.status is Status.PENDING and approval.revision == 1 and digest_of(admitted) != approval.digest:
            kind = self._rulebook.kinds[approval.kind]
            return complete(tx, approval, read_back(admitted), kind, self._rulebook, now)
        return approval

    def _admitted(self, approval: Approval, payload: Any) -> bytes:
        """The canonical form of what the flow has made of its payload; what it says already was admitted before."""
        form = canonical(payload, what="payload")
        known = digest_of(form) in (approval.digest, approval.asked_digest)
        return form if known else self._rulebook.kinds[approval.kind].admit(payload)

    def _open(
        self,
        tx: Transaction,
        payload: Any,
        now: datetime,
        expires_in: str | timedelta | None,
        kind_name: str | None,
        title: str | None,
    ) -> Approval:
        kind = self._rulebook.kinds[kind_name or self._approval.kind]
        request = Request(
            requester=Principal(self._approval.requester, Established.PROGRAM),
            kind=kind,
            payload=kind.admit(payload),
            claim=title,
            dedup_key=None,
            id=self._new_id(now),
            form=kind.form_of(payload),
            flow=self._lease.flow,
            timeout=duration(expires_in) if isinstance(expires_in, str) else expires_in,
        )
        return open_approval(tx, request, now, self._rulebook)

    async def _write(self, work: Callable[[Transaction, datetime], Any]) -> Any:
        def everything(tx: Transaction) -> Any:
            now = begin(tx, self._clock())
            self.write_held_back(tx, now)
            return work(tx, now)

        result = await self._store.write(everything)
        self._later.clear()
        return result

    def drop_held_back(self) -> None:
        """Give up what was held back: it cannot be written."""
        self._later = []

    def write_held_back(self, tx: Transaction, now: datetime) -> None:
        """Write what was put off, in this transaction."""
        for earlier in self._later:
            earlier(tx, now)

    def _check(self, view: View, *approvals: Approval) -> None:
        relied_on = (*self._relied_on, *approvals)
        try:
            if view.paused(self._lease.kind):
                raise Held
            for approval in relied_on:
                check_usable(view, approval, self._clock(), self._rulebook)
        except Paused:
            raise Held from None

    def _sleep_on(self, tx: Transaction, wake_at: datetime, now: datetime) -> bool:
        if wake_at > now:
            self._leave(tx, FlowState.SLEEPING, wake_at)
        return wake_at > now

    def _put(self, tx: Transaction, entry: JournalEntry) -> None:
        if not tx.write_journal(self._lease, entry):
            raise LeaseLost

    def _leave(self, tx: Transaction, state: FlowState, wake_at: datetime | None) -> None:
        if not tx.leave_flow(self._lease, state, wake_at=wake_at):
            raise LeaseLost

    def _found(self, tx: Transaction, approval_id: str) -> Approval:
        approval = tx.lock(approval_id)
        if approval is None:
            raise NotFound
        return approval
