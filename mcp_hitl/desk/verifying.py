"""Checks the whole chain, and compares everything stored with it, in memory that does not grow with the log.

The log is read twice in one snapshot: first in its own order, for the chain; then by approval, beside the approvals.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.domain.evidence.chain import Recorded, genesis
from mcp_hitl.domain.evidence.ledger import Broken, Ledger
from mcp_hitl.domain.evidence.told import Told
from mcp_hitl.domain.evidence.verification import check_stored
from mcp_hitl.domain.values.errors import Invalid, Unreadable
from mcp_hitl.store.lists import Listed, id_of
from mcp_hitl.store.spilled import Spilled
from mcp_hitl.store.view import View

ENTRIES = 1_000
"""Entries that are read together."""
APPROVALS = 200
"""Approvals that are compared together."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check: the number of entries, the head's hash, and the first fault.

    What could not be checked is a fault too. If there is none, `wrong` is None. `unchecked` says what an older export
    cannot prove.
    """

    entries: int
    head: str
    wrong: str | None = None
    unchecked: str | None = None


def verify(view: View, effects: Effects, expect: str | None) -> Finding:
    """Return what was found in everything there is; `expect` is a head that has to be in the chain."""
    with Spilled() as statuses:
        ledger = Ledger(genesis(view.facts.database_id()), statuses)
        try:
            _read(view, ledger, expect)
            ledger.check_end(expect)
            _Comparison(view, effects).run(ledger)
            _check_facts(view, ledger)
        except Broken as broken:
            return Finding(ledger.seq, ledger.head, str(broken))
        except Unreadable as error:
            return Finding(ledger.seq, ledger.head, f"something stored beside the log cannot be read: {error.why}")
    unknown = effects.missing_tables
    if unknown:
        return Finding(ledger.seq, ledger.head, f"this program cannot check the tables of {', '.join(unknown)}")
    return Finding(ledger.seq, ledger.head)


def chain(view: View, after: int = 0, *, page: int | None = None) -> Iterator[Recorded]:
    """Return the entries of the log after `after`, in order; `page` of them are read together."""
    while found := view.log.chain(after, page or ENTRIES):
        yield from found
        after = found[-1].seq


def _read(view: View, ledger: Ledger, expect: str | None) -> None:
    try:
        ledger.read(chain(view), expect=expect)
    except Unreadable:  # somewhere on a page: find the place
        try:
            ledger.read(chain(view, ledger.seq, page=1), expect=expect)
        except Unreadable:
            raise Broken(f"entry {ledger.seq + 1} was changed: it cannot be read") from None


def _check_facts(view: View, ledger: Ledger) -> None:
    if {stop.kind or "": (stop.by, stop.at) for stop in view.stops.all()} != ledger.paused:
        raise Broken("the stored pauses are not those in the log")
    if (fault := view.facts.fault()) is not None:
        raise Broken(fault)
    if view.facts.policy() != ledger.policy:
        raise Broken("the stored digest of the policy file is not the one in the log")
    if view.facts.restored() != ledger.restored:
        raise Broken("the stored state of a restored copy is not the one in the log")


class _Comparison:
    """Goes through the log and what is stored at the same time, in the order of the approvals' ids.

    What the log says and is not stored so comes first. Only then comes what is stored beside: the first of these waits
    in `_unlogged`, and of the rows of kinds in `_stray`.
    """

    def __init__(self, view: View, effects: Effects) -> None:
        self._view = view
        self._tables = tuple(effects.tables.values())
        self._unlogged: Broken | None = None
        self._stray: dict[str, Broken] = {}

    def run(self, ledger: Ledger) -> None:
        """Compare everything.

        Raises:
            Broken: the first fault.
        """
        after, met = "", 0
        for told, entries in self._told():
            last = next(reversed(told))
            self._compare(told, after, last)
            after, met = last, met + entries
        if met != ledger.of_approvals:
            raise Broken("the index of the log by approval does not lead to every entry")
        self._compare({}, after, None)
        for fault in (self._unlogged, *(self._stray[table.row] for table in self._tables if table.row in self._stray)):
            if fault is not None:
                raise fault

    def _told(self) -> Iterator[tuple[dict[str, Told], int]]:
        """Return what the log records of the next approvals, and the number of their entries."""
        held: dict[str, Told] = {}
        entries = 0
        for recorded in self._entries():
            entry = recorded.entry
            told = held.get(entry.approval)
            if told is not None:
                told.add(entry)
            else:
                if len(held) == APPROVALS:
                    yield held, entries
                    held, entries = {}, 0
                told = Told.begin(entry)
                if told is None:
                    raise Broken("the index of the log by approval does not lead to the beginning of each")
                held[entry.approval] = told
            entries += 1
        if held:
            yield held, entries

    def _entries(self) -> Iterator[Recorded]:
        found = self._view.log.by_approval(None, ENTRIES)
        while found:
            yield from found
            found = self._view.log.by_approval(found[-1], ENTRIES)

    def _compare(self, told: dict[str, Told], after: str, last: str | None) -> None:
        """Compare what is stored after the id `after` up to `last` with what is `told` of it; None is the end."""
        kept = [(table, table.rows(self._view, after, last)) for table in self._tables]
        for stored, contents in self._stored(after, last):
            expected = told.pop(id_of(stored), None)
            try:
                if isinstance(stored, Unreadable):
                    raise stored
                if expected is None:
                    raise Broken(f"{stored.id} is stored, but no entry opened it")
                check_stored(expected, stored, contents)
                for table, rows in kept:
                    if (row := rows.pop(stored.id, None)) is not None:
                        table.check(stored, row)
            except Broken as broken:
                self._found(broken, expected)
            except (Unreadable, Invalid):  # or a content is no JSON that we would have stored, so it has no digest
                self._found(Broken(f"{id_of(stored)} was changed: it cannot be read"), expected)
        for approval_id in told:
            raise Broken(f"{approval_id} is in the log, but is no longer stored")
        for table, rows in kept:
            for approval_id in rows:
                self._stray.setdefault(
                    table.row, Broken(f"{table.row} is stored for {approval_id}, which is not in the log")
                )

    def _found(self, broken: Broken, expected: Told | None) -> None:
        if expected is not None:
            raise broken
        self._unlogged = self._unlogged or broken

    def _stored(self, after: str, last: str | None) -> Iterator[tuple[Listed, Mapping[str, str]]]:
        """Return the approvals with their contents."""
        while page := self._view.sweeps.every(after, APPROVALS + 1, last):
            end = _named(page[-1])
            contents = self._view.log.contents(after, end)
            for one in page:
                yield one, contents.get(id_of(one), {})
            if len(page) <= APPROVALS:
                return
            after = end


def _named(listed: Listed) -> str:
    """Return the id, for the next query.

    Raises:
        Broken: it is no text.
    """
    try:
        id_of(listed).encode()
    except UnicodeEncodeError:
        raise Broken("the id of an approval was changed: it cannot be read") from None
    return id_of(listed)
