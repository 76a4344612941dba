"""The journal of one flow while a process runs it. Every write depends on the lease."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

import anyio

from mcp_hitl.desk.transactions.log_entries import begin, is_stopped, record
from mcp_hitl.desk.transactions.redeem import check_usable
from mcp_hitl.domain.approvals.approval import Approval, Progress
from mcp_hitl.domain.approvals.flow import FlowState, JournalEntry, Lease
from mcp_hitl.domain.evidence.digests import report_of
from mcp_hitl.domain.evidence.events import Progressed
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import check_text
from mcp_hitl.domain.values.durations import duration
from mcp_hitl.domain.values.errors import Paused, Unavailable
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.engine.run_ends import FlowChanged, Held, Interrupted, LeaseLost, Place, RunStops, Suspended
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

T = TypeVar("T")

MOST_PROGRESS = 500
"""The most characters of one progress report."""


class Journal:
    """The journal that the steps of one run read and write."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        approval: Approval,
        entries: list[JournalEntry],
        *,
        clock: Callable[[], datetime],
        rulebook: Rulebook,
    ) -> None:
        """Run under `lease` with the existing `entries`; `approval` is the one that started the flow."""
        self.lease = lease
        self.approval = approval
        self._store = store
        self._entries = {entry.position: entry for entry in entries}
        self._clock = clock
        self._rulebook = rulebook
        self._position = 0
        self._later: list[Callable[[Transaction, datetime], None]] = []
        self._relied_on: list[Approval] = []
        self._stop: RunStops | Unavailable | None = None

    @contextmanager
    def stopping(self) -> Generator[None]:
        """Wrap a step: an error that stops the flow stops it permanently, even if its code catches everything."""
        try:
            yield
        except (RunStops, Unavailable) as stop:
            self.stop(stop)
            raise

    def stop(self, stop: RunStops | Unavailable) -> None:
        """Stop the flow permanently, even if its code catches the error. The first error counts."""
        self._stop = self._stop or stop

    def next(self, step: str, name: str) -> Place:
        """Return the place of the next step.

        Raises:
            FlowChanged: the journal has a different step there.
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
        """Check that the run reached the end of the journal.

        Raises:
            FlowChanged: the journal has steps that the code no longer has.
            RunStops, Unavailable: what stopped the run, if its code caught it.
        """
        if self._stop is not None:
            raise self._stop
        if any(position >= self._position for position in self._entries):
            raise FlowChanged("the flow's code changed: it ended before the last steps in its journal")

    def went_on(self, place: Place) -> bool:
        """Return True if an earlier run reached a step after this one."""
        return any(position > place.position for position in self._entries)

    def rely_on(self, approval: Approval) -> None:
        """Make later steps depend on this approval: they may act only while it is still valid."""
        self._relied_on.append(approval)

    @property
    def held_back(self) -> bool:
        """True if some entries are still waiting to be written."""
        return bool(self._later)

    def key(self, place: Place) -> str:
        """Return the idempotency key of a step."""
        return f"{self.lease.flow}:{place.position}"

    async def check(self) -> None:
        """Check that a step may act now (THREATS T13, T15, T21).

        Raises:
            Held: the emergency stop is on; the flow stays runnable and continues after the stop.
            NotAllowed: the approval is no longer valid.
        """
        await self._store.read(self.check_in)

    def write_later(self, entry: JournalEntry) -> None:
        """Write an entry together with the next one, before anything else acts."""
        self._later.append(lambda tx, now: self.put(tx, entry))

    def report_later(self, place: Place, message: str) -> None:
        """Record progress, together with the next entry."""
        check_text(message, "message")
        progress = Progress(step=place.name[:100], message=message[:MOST_PROGRESS], at=self._clock())

        def work(tx: Transaction, now: datetime) -> None:
            self.put(tx, place.done(None))
            tx.approvals.add_progress(self.approval.id, progress)
            record(tx, self.approval, Progressed(report=report_of(progress)), now)

        self._later.append(work)

    async def flush(self) -> None:
        """Write the entries that are waiting to be written."""
        if self.held_back:
            await self.transact(lambda tx, now: None)

    async def write(self, entry: JournalEntry, *, checked: bool = False) -> None:
        """Write an entry. With `checked`, the same transaction checks that the step may act."""

        def work(tx: Transaction, now: datetime) -> None:
            if checked:
                self.check_in(tx)
            self.put(tx, entry)

        await self.transact(work)

    async def write_with(self, place: Place, action: Callable[[Transaction], tuple[str, T]]) -> T:
        """Run `action` and write the entry with its output, in one transaction. Return the action's other result."""

        def work(tx: Transaction, now: datetime) -> T:
            self.check_in(tx)
            output, result = action(tx)
            self.put(tx, place.done(output))
            return result

        return await self.transact(work)

    async def sleep(self, place: Place, length: str | timedelta) -> None:
        """Sleep until the time in the journal; if there is none, store the time and sleep until then."""
        if place.entry is not None and place.entry.output is not None:
            wake_at = from_ms(int(place.entry.output))
            if wake_at > self._clock() and await self.transact(lambda tx, now: self._sleep_on(tx, wake_at, now)):
                raise Suspended
            return
        span = duration(length) if isinstance(length, str) else length

        def work(tx: Transaction, now: datetime) -> None:
            wake_at = now + span
            self.put(tx, place.done(str(to_ms(wake_at))))
            self.leave(tx, FlowState.SLEEPING, wake_at)

        await self.transact(work)
        raise Suspended

    async def transact(self, work: Callable[[Transaction, datetime], T]) -> T:
        """Run `work` in a transaction, after the waiting entries. It completes even if the caller is cancelled."""
        later, self._later = self._later, []  # other steps may put off more while this is written

        def everything(tx: Transaction) -> T:
            now = begin(tx, self._clock())
            for earlier in later:
                earlier(tx, now)
            return work(tx, now)

        try:
            with anyio.CancelScope(shield=True):
                return await self._store.write(everything)
            raise AssertionError("a shield ends nothing")
        except anyio.get_cancelled_exc_class():
            self.stop(Interrupted())
            raise
        except Exception:
            self._later = later + self._later
            raise

    def drop_held_back(self) -> None:
        """Discard the waiting entries, because they cannot be written."""
        self._later = []

    def write_held_back(self, tx: Transaction, now: datetime) -> None:
        """Write the waiting entries in this transaction."""
        for earlier in self._later:
            earlier(tx, now)

    def check_in(self, view: View, *approvals: Approval) -> None:
        """Make the check of `check` in this view, for these approvals too."""
        relied_on = (*self._relied_on, *approvals)
        try:
            if is_stopped(view, self.lease.kind):
                raise Held
            for approval in relied_on:
                check_usable(view, approval, self._clock(), self._rulebook)
        except Paused:
            raise Held from None

    def _sleep_on(self, tx: Transaction, wake_at: datetime, now: datetime) -> bool:
        if wake_at > now:
            self.leave(tx, FlowState.SLEEPING, wake_at)
        return wake_at > now

    def put(self, tx: Transaction, entry: JournalEntry) -> None:
        """Write an entry in this transaction.

        Raises:
            LeaseLost: another process runs the flow.
        """
        if not tx.flows.write_journal(self.lease, entry):
            raise LeaseLost

    def leave(self, tx: Transaction, state: FlowState, wake_at: datetime | None = None) -> None:
        """Release the flow in another state.

        Raises:
            LeaseLost: another process runs it.
        """
        if not tx.flows.leave(self.lease, state, wake_at=wake_at):
            raise LeaseLost
