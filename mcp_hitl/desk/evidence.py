"""The evidence: verify it, export it, and erase contents without breaking it."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from mcp_hitl.desk.context import Context
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.desk.transactions.log_entries import begin, record
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.approvals.seen import hides
from mcp_hitl.domain.evidence.chain import NOWHERE, Recorded, content_digest, genesis
from mcp_hitl.domain.evidence.events import Erased
from mcp_hitl.domain.evidence.ledger import Broken, Ledger
from mcp_hitl.domain.evidence.verification import check_stored
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.canonical import JsonObject, read_back
from mcp_hitl.domain.values.errors import Invalid, Unavailable, Unreadable
from mcp_hitl.store.lists import id_of
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

logger = logging.getLogger(__name__)

FORMAT = "mcp-hitl-audit/2"
_PAGE = 1_000
_ERASED_TOGETHER = 100


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


class Evidence:
    """Everything that an auditor needs of a database."""

    def __init__(self, at: Context) -> None:
        """Work where `at` says; its rulebook says which fields are secret."""
        self._at = at

    async def head(self) -> tuple[int, str]:
        """Return the number of entries and the hash of the newest: an anchor to keep elsewhere."""
        return await self._at.store.read(lambda view: view.log.head())

    async def entries(self) -> list[Recorded]:
        """Return every entry, oldest first."""
        return await self._at.store.survey(lambda view: list(_chain(view)))

    async def verify(self, *, expect: str | None = None) -> Finding:
        """Check the whole chain, and compare everything stored with it.

        `expect` is a head that you kept elsewhere. It must still be in the chain; otherwise the end was cut off, or
        the file was replaced by another.
        """
        try:
            return await self._at.store.survey(lambda view: _verify(view, self._at.effects, expect))
        except (Unavailable, Unreadable) as error:
            return Finding(0, "", f"the database cannot be read: {error}")

    async def export(self, write: Callable[[str], Any], *, redact: bool = False) -> int:
        """Write the log as JSON Lines, with each entry's contents unless `redact`. Return the number of entries.

        The last line says how many there are, so that a shorter file is not taken for the whole.
        """

        def work(view: View) -> int:
            database = view.facts.database_id()
            write(json.dumps({"format": FORMAT, "database": database, "redacted": redact}))
            count, head = 0, genesis(database)
            for recorded in _chain(view):
                line = recorded.as_json()
                if not redact:
                    line |= self._contents(view, recorded)
                write(json.dumps(line, ensure_ascii=False))
                count, head = recorded.seq, recorded.hash
            write(json.dumps({"entries": count, "head": head}))
            return count

        return await self._at.store.survey(work)

    async def erase(self, who: Principal | None, *, older_than: timedelta) -> int:
        """Erase payloads, comments and answers of approvals resolved before `older_than`. Return the number erased.

        Contents are kept while a flow needs them, and while an outcome is unknown. The log still verifies. `who` is
        None if the policy's retention time causes the erasure. Traces that readers left in the files are erased too.

        Raises:
            Unavailable: a kind keeps contents in a table of which this program does not know. Nothing was erased.
        """
        unknown = self._at.effects.missing_tables
        if unknown:
            raise Unavailable(
                f"This program does not know the tables in which these kinds keep contents: {', '.join(unknown)}. "
                "Nothing was erased. Erase with mcp-hitl."
            )
        who = who and self._at.who(who)
        erased, after = 0, ""
        until = self._at.clock() - older_than
        while page := await self._at.store.read(partial(_erasable, until=until, after=after)):
            after = page[-1]
            erased += await self._at.store.write(partial(self._erase, page=page, who=who, older_than=older_than))
        if not await self._at.store.scrub() and erased:
            logger.warning(
                "the database is being read, so its files keep traces of the erased contents until the next erasure"
            )
        return erased

    def _erase(self, tx: Transaction, *, page: list[str], who: Principal | None, older_than: timedelta) -> int:
        now = begin(tx, self._at.clock())
        erased = 0
        for approval_id in page:
            approval = _readable(tx, approval_id)
            if approval is None or approval.resolved_at is None or approval.erased_at is not None:
                continue
            if approval.resolved_at <= now - older_than and _is_over(tx, approval):
                tx.approvals.erase(approval.id, now)
                for table in self._at.effects.tables.values():
                    table.erase(tx, approval.id)
                record(tx, approval, Erased(), now, who)
                erased += 1
        return erased

    def _contents(self, view: View, recorded: Recorded) -> JsonObject:
        """Return the contents behind an entry's digests, unless they were erased or are secret."""
        approval = view.approvals.get(recorded.entry.approval) if recorded.entry.approval != NOWHERE else None
        if approval is None or approval.erased_at is not None:
            return {}
        kept: dict[str, Any] = {digest: read_back(text) for digest, text in view.log.content(approval.id).items()}
        for content in (approval.payload, approval.answer, approval.reason):
            if content is not None:
                kept[content_digest(content) or ""] = content
        kind = self._at.rulebook.kind_of(approval.kind, approval.definition)
        data = recorded.entry.data
        secret = _payloads(approval) if hides(kind) else set[str]()
        named = [value for value in data.values() if isinstance(value, str) and value in kept]
        contents = {digest: kept[digest] for digest in named if digest not in secret}
        redacted = [digest for digest in named if digest in secret]
        return {"contents": contents} | ({"redacted": redacted} if redacted else {})


def _readable(tx: Transaction, approval_id: str) -> Approval | None:
    """Return an approval, locked; None, with a line in the log, if it cannot be read: the others are erased."""
    try:
        return tx.approvals.lock(approval_id)
    except Unreadable as error:
        logger.error("the contents of %s are not erased. %s (%s)", approval_id, error, error.why)
        return None


def _is_over(view: View, approval: Approval) -> bool:
    """Return True if nothing more will happen with the approval."""
    going_on = {FlowState.RUNNABLE, FlowState.WAITING, FlowState.SLEEPING, FlowState.UNKNOWN}
    if approval.flow is not None and view.flows.state(approval.flow) in going_on:
        return False
    return approval.outcome.state not in {OutcomeState.RUNNING, OutcomeState.UNKNOWN}


def _payloads(approval: Approval) -> set[str]:
    """Return the digests of all payloads that the approval has had."""
    edited = {content_digest(payload) or "" for edit in approval.edits for payload in (edit.before, edit.after)}
    return {approval.digest, approval.asked_digest} | edited


def _erasable(view: View, *, until: datetime, after: str) -> list[str]:
    return view.sweeps.erasable(until, after, _ERASED_TOGETHER)


def _verify(view: View, effects: Effects, expect: str | None) -> Finding:
    ledger = Ledger(genesis(view.facts.database_id()))
    try:
        try:
            ledger.read(_chain(view, ledger.seq), expect=expect)
        except Unreadable:  # somewhere on a page: find the place
            try:
                ledger.read(_chain(view, ledger.seq, page=1), expect=expect)
            except Unreadable:
                raise Broken(f"entry {ledger.seq + 1} was changed: it cannot be read") from None
        ledger.check_end(expect)
        _check_every(view, ledger, effects)
        if {stop.kind or "": (stop.by, stop.at) for stop in view.stops.all()} != ledger.paused:
            raise Broken("the stored pauses are not those in the log")
        if (fault := view.facts.fault()) is not None:
            raise Broken(fault)
        if view.facts.policy() != ledger.policy:
            raise Broken("the stored digest of the policy file is not the one in the log")
        if view.facts.restored() != ledger.restored:
            raise Broken("the stored state of a restored copy is not the one in the log")
    except Broken as broken:
        return Finding(ledger.seq, ledger.head, str(broken))
    except Unreadable as error:
        return Finding(ledger.seq, ledger.head, f"something stored beside the log cannot be read: {error.why}")
    unknown = effects.missing_tables
    if unknown:
        return Finding(ledger.seq, ledger.head, f"this program cannot check the tables of {', '.join(unknown)}")
    return Finding(ledger.seq, ledger.head)


def _check_every(view: View, ledger: Ledger, effects: Effects) -> None:
    kept = [(table, table.rows(view)) for table in effects.tables.values()]
    for approval_id in ledger.approvals:
        try:
            approval = view.approvals.get(approval_id)
            if approval is None:
                raise Broken(f"{approval_id} is in the log, but is no longer stored")
            check_stored(ledger.approvals[approval_id], approval, view.log.content(approval_id))
            for table, rows in kept:
                if (row := rows.pop(approval_id, None)) is not None:
                    table.check(approval, row)
        except (Unreadable, Invalid):  # or a content is no JSON that we would have stored, so it has no digest
            raise Broken(f"{approval_id} was changed: it cannot be read") from None
    _check_nothing_else(view, ledger)
    for table, rows in kept:
        for approval_id in rows:
            raise Broken(f"{table.row} is stored for {approval_id}, which is not in the log")


def _check_nothing_else(view: View, ledger: Ledger) -> None:
    after = ""
    while page := view.sweeps.every(after, _PAGE):
        after = id_of(page[-1])
        for approval in page:
            if isinstance(approval, Unreadable):
                raise Broken(f"{approval.approval} was changed: it cannot be read")
            if approval.id not in ledger.approvals:
                raise Broken(f"{approval.id} is stored, but no entry opened it")


def _chain(view: View, after: int = 0, *, page: int = _PAGE) -> Iterator[Recorded]:
    while found := view.log.chain(after, page):
        yield from found
        after = found[-1].seq
