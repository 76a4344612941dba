"""The journal of one flow while a process runs it. Every write depends on the lease."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import anyio
import anyio.lowlevel

from mcp_hitl.desk.transactions.log_entries import begin, instant, is_stopped
from mcp_hitl.desk.transactions.redeem import check_usable
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.flow import FlowState, JournalEntry, Lease
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid, Paused
from mcp_hitl.engine.activity import Activity
from mcp_hitl.engine.branches import ACROSS, Branches, related
from mcp_hitl.engine.reports import reported
from mcp_hitl.engine.run_ends import FlowChanged, Held, Interrupted, LeaseLost, Place, Suspended
from mcp_hitl.engine.secrecy import Secrecy
from mcp_hitl.engine.started import action
from mcp_hitl.engine.turns import Turns
from mcp_hitl.engine.unwritten import Unwritten
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

T = TypeVar("T")


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
        self.secrecy = Secrecy(rulebook, approval)
        self._store = store
        self._entries = {(entry.branch, entry.position): entry for entry in entries}
        self._branches = Branches(self._entries)
        self._clock = clock
        self._rulebook = rulebook
        self._later = Unwritten(lease)
        self._relied_on: list[tuple[str, Approval]] = []
        self._waited_for = [entry.output for entry in entries if entry.step == "wait" and entry.output is not None]
        self.activity = Activity()
        self.turns = Turns(entries, self.activity, self._branches)

    def begin(self) -> None:
        """Make this task the flow's own."""
        self._branches.begin()

    @property
    def alone(self) -> bool:
        """True if the step that goes on is the only one, and nothing has run side by side in this run."""
        return self.activity.count == 1 and self._branches.none

    @asynccontextmanager
    async def step(self, step: str, name: str) -> AsyncGenerator[Place]:
        """Wrap the next step. What it returns or raises is handed to the flow's code.

        Raises:
            FlowChanged: the journal has a different step there.
            Invalid: it began in the action of a step, which does not run again once that step is in the journal.
        """
        async with self.activity.step():
            place = await self._next(step, name)
            try:
                await self.turns.begin(place)
                yield place
            except anyio.get_cancelled_exc_class():
                self._later.give_up(place)
                raise
            finally:
                self.turns.left(place)

    async def _next(self, step: str, name: str) -> Place:
        self.activity.go_on()
        if (outer := action()) is not None:
            raise Invalid(f"Step {name!r} began in the action of step {outer!r}. Call it in `run`, before or after it.")
        branch, position = self._branches.next()
        entry = self._entries.get((branch, position))
        if entry is not None and (entry.step, entry.name) != (step, name):
            raise FlowChanged(
                f"the flow's code changed: step {position + 1} was {entry.step} {entry.name!r} and is {step} {name!r}"
            )
        await anyio.lowlevel.checkpoint()  # whatever the code started before this step begins before it acts
        self.activity.go_on()
        if self._branches.missing(branch, position):
            raise FlowChanged(f"the flow's code changed: what ran beside {step} {name!r} does not any more")
        return Place(branch, position, step, name, entry)

    async def finish(self) -> None:
        """Check that the run reached the end of the journal, once no step goes on any more.

        Raises:
            FlowChanged: the journal has steps that the code no longer has.
            RunStops, Unavailable: what stopped the run, if its code caught it.
        """
        over = Suspended()
        stop = self.activity.stop(over)  # what still runs beside it begins no further step
        await self.activity.over()
        if stop is not over:
            raise stop
        if self._branches.left_over():
            raise FlowChanged("the flow's code changed: it ended before the last steps in its journal")

    def went_on(self, place: Place) -> bool:
        """Return True if an earlier run reached a step after this one."""
        return self._branches.went_on(place.branch, place.position)

    def rely_on(self, place: Place, approval: Approval) -> None:
        """Make later steps depend on this approval: they may act only while it is still valid.

        Those are the steps of its branch, of what began in it, and of what it began in.
        """
        self._relied_on.append((place.branch, approval))

    @property
    def waited_for(self) -> list[str]:
        """The ids of the approvals that the flow has waited for, in any run."""
        return list(self._waited_for)

    @property
    def held_back(self) -> bool:
        """True if some entries are still waiting to be written."""
        return self._later.urgent

    def key(self, place: Place) -> str:
        """Return the idempotency key of a step."""
        return f"{self.lease.flow}:{place.branch.removeprefix(ACROSS)}{place.position}"

    def now(self) -> datetime:
        """Return the time."""
        return self._clock()

    async def look(self, work: Callable[[View, datetime], T]) -> T:
        """Read something."""
        return await self._store.read(lambda view: work(view, instant(view, self._clock())))

    async def check(self, place: Place) -> None:
        """Check that a step may act now (THREATS T13, T15, T21).

        Raises:
            Held: the emergency stop is on; the flow stays runnable and continues after the stop.
            NotAllowed: the approval is no longer valid.
        """
        await self._store.read(lambda view: self.check_in(view, place))

    async def end(self, place: Place, at: datetime | None = None) -> None:
        """Wait until the flow's code may get the end of this step, which ended at this time, or now.

        Its turn is written with the next entry, before anything else acts; if nothing has run side by side, nothing
        need wait for that.
        """
        noted = place.turn is not None
        await self.turns.end(place, at or self._clock())
        if place.turn is not None and not noted and place.noted is not None:
            self._later.mark(replace(place.noted, turn=place.turn), urgent=not self.turns.alone)

    def done(self, place: Place, output: str | None) -> JournalEntry:
        """Return the entry of a step that is written now. Its turn goes with it if nothing runs beside it."""
        if self.turns.alone:
            self.turns.number(place)
        else:
            place.noted = place.done(output)
        return place.done(output)

    def write_later(self, entry: JournalEntry) -> None:
        """Write an entry together with the next one, before anything else acts."""
        self._later.add(lambda tx, now: self.put(entry))

    def report_later(self, place: Place, message: str) -> None:
        """Record progress, together with the next entry."""
        report = reported(self.approval, place.name, self.secrecy.hide(message), self._clock())

        def work(tx: Transaction, now: datetime) -> None:
            self.put(place.done(None))
            report(tx, now)

        self._later.add(work)

    async def flush(self) -> None:
        """Write the entries that are waiting to be written."""
        if self.held_back:
            await self.transact(lambda tx, now: None)

    async def write(self, entry: JournalEntry, *, check: Place | None = None) -> None:
        """Write an entry. With `check`, the same transaction checks that this step may act."""

        def work(tx: Transaction, now: datetime) -> None:
            if check is not None:
                self.check_in(tx, check)
            self.put(entry)

        await self.transact(work)

    async def write_with(self, place: Place, act: Callable[[Transaction], tuple[str, T]]) -> T:
        """Run `act` and write the entry with its output, in one transaction. Return the other result of `act`."""

        def work(tx: Transaction, now: datetime) -> T:
            self.check_in(tx, place)
            output, result = act(tx)
            self.put(self.done(place, output))
            return result

        return await self.transact(work)

    async def transact(self, work: Callable[[Transaction, datetime], T]) -> T:
        """Run `work` in a transaction, after the waiting entries. It completes even if the caller is cancelled."""
        later = self._later.take(cancelled=not self.activity.stopped)

        def everything(tx: Transaction) -> T:
            now = begin(tx, self._clock())
            self._later.begin()
            for earlier, _ in later:
                earlier(tx, now)
            result = work(tx, now)
            self._later.write_entries(tx)
            return result

        try:
            with anyio.CancelScope(shield=True):
                return await self._store.write(everything)
            raise AssertionError("a shield ends nothing")
        except anyio.get_cancelled_exc_class():
            self.activity.stop(Interrupted())
            raise
        except Exception:
            self._later.put_back(later)
            raise

    def drop_held_back(self) -> None:
        """Discard the waiting entries, because they cannot be written."""
        self._later.take(cancelled=False)

    def write_held_back(self, tx: Transaction, now: datetime) -> None:
        """Write the waiting entries in this transaction."""
        self._later.write(tx, now)

    def check_in(self, view: View, place: Place, *approvals: Approval) -> None:
        """Make the check of `check` in this view, for these approvals too."""
        relied_on = (*(one for branch, one in self._relied_on if related(branch, place.branch)), *approvals)
        try:
            if is_stopped(view, self.lease.kind):
                raise Held
            for approval in relied_on:
                check_usable(view, approval, self._clock(), self._rulebook)
        except Paused:
            raise Held from None

    def put(self, entry: JournalEntry) -> None:
        """Write an entry in this transaction, which fails if another process runs the flow."""
        self._later.put(entry)
        if entry.step == "wait" and entry.output is not None:
            self._waited_for.append(entry.output)

    def leave(self, tx: Transaction, state: FlowState, wake_at: datetime | None = None) -> None:
        """Release the flow in another state.

        Raises:
            LeaseLost: another process runs it.
        """
        self._later.write_entries(tx)
        if not tx.flows.leave(self.lease, state, wake_at=wake_at):
            raise LeaseLost
