"""What a run has still to write. It goes with the next write."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from mcp_hitl.desk.transactions.end import end
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.flow import JournalEntry, Lease, StepState
from mcp_hitl.engine.run_ends import PAUSES, LeaseLost, Place
from mcp_hitl.store.transaction import Transaction

Work = Callable[[Transaction, datetime], None]

NOT_NEEDED = "The flow that asked for it went on without an answer."
"""Why a request is cancelled whose branch the flow's code has cancelled."""


class Unwritten:
    """The work that a run has put off, in order."""

    def __init__(self, lease: Lease) -> None:
        """Write under `lease`. Nothing is put off yet."""
        self._lease = lease
        self._work: list[tuple[Work, bool]] = []
        self._given_up: list[JournalEntry] = []
        self._entries: list[JournalEntry] = []
        """The entries of the transaction that goes on."""

    def begin(self) -> None:
        """Begin a transaction: what another has left behind was undone."""
        self._entries = []

    def put(self, entry: JournalEntry) -> None:
        """Write an entry at the end of this transaction, together with the others."""
        self._entries.append(entry)

    def write_entries(self, tx: Transaction) -> None:
        """Write those entries now.

        Raises:
            LeaseLost: another process runs the flow.
        """
        entries, self._entries = self._entries, []
        if entries and not tx.flows.write_journal(self._lease, entries):
            raise LeaseLost

    def add(self, work: Work, *, urgent: bool = True) -> None:
        """Put this off. If it is urgent, it must be written before anything else acts."""
        self._work.append((work, urgent))

    def mark(self, entry: JournalEntry, *, urgent: bool) -> None:
        """Put off to write the turn of an entry that is in the journal."""
        self.add(lambda tx, now: self._mark(tx, entry), urgent=urgent)

    def give_up(self, place: Place) -> None:
        """Note that a step was cancelled. If it waits, mark it with the next write, unless it is we who stop."""
        if place.step in PAUSES and place.noted is not None and place.turn is None and not place.given_up:
            self._given_up.append(replace(place.noted, state=StepState.FAILED))

    @property
    def urgent(self) -> bool:
        """True if something must be written before anything else acts."""
        return bool(self._given_up) or any(urgent for _, urgent in self._work)

    def take(self, *, cancelled: bool) -> list[tuple[Work, bool]]:
        """Return all of it, to write it now: others may put off more meanwhile.

        With `cancelled`, what was cancelled is among it: the flow's code did that, since nothing has stopped the run.
        """
        if cancelled:
            for entry in self._given_up:
                self.add(partial(self._withdraw, entry))
            self._given_up = []
        taken, self._work = self._work, []
        return taken

    def put_back(self, taken: list[tuple[Work, bool]]) -> None:
        """Keep what could not be written."""
        self._work = taken + self._work

    def write(self, tx: Transaction, now: datetime) -> None:
        """Write all of it in this transaction, but keep it: the transaction may fail."""
        self.begin()
        for work, _ in self._work:
            work(tx, now)
        self.write_entries(tx)

    def _mark(self, tx: Transaction, entry: JournalEntry) -> None:
        self.write_entries(tx)
        if not tx.flows.mark_journal(self._lease, entry):
            raise LeaseLost

    def _withdraw(self, entry: JournalEntry, tx: Transaction, now: datetime) -> None:
        """Mark a step that was cancelled, and take back what it asked for."""
        self._mark(tx, entry)
        asked = tx.approvals.lock(entry.output) if entry.step == "wait" and entry.output is not None else None
        if asked is not None and asked.status is Status.PENDING:
            end(tx, asked, Status.CANCELLED, now, reason=NOT_NEEDED)
