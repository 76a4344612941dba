"""The evidence: verify it, export it, and erase contents without breaking it."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from mcp_hitl.desk.context import Context
from mcp_hitl.desk.transactions.log_entries import begin, record
from mcp_hitl.desk.verifying import Finding, chain, verify
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.approvals.seen import hides
from mcp_hitl.domain.evidence.chain import NOWHERE, Recorded, content_digest, genesis
from mcp_hitl.domain.evidence.events import Erased
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.canonical import JsonObject, read_back
from mcp_hitl.domain.values.errors import Unavailable, Unreadable
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

logger = logging.getLogger(__name__)

FORMAT = "mcp-hitl-audit/2"
_ERASED_TOGETHER = 100
_EXPORTED_TOGETHER = 200


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
        return await self._at.store.survey(lambda view: list(chain(view)))

    async def verify(self, *, expect: str | None = None) -> Finding:
        """Check the whole chain, and compare everything stored with it.

        `expect` is a head that you kept elsewhere. It must still be in the chain; otherwise the end was cut off, or
        the file was replaced by another.
        """
        try:
            return await self._at.store.survey(lambda view: verify(view, self._at.effects, expect))
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
            entries = chain(view)
            while some := list(islice(entries, _EXPORTED_TOGETHER)):
                contents = [JsonObject()] * len(some) if redact else self._contents(view, some)
                for recorded, beside in zip(some, contents, strict=True):
                    write(json.dumps(recorded.as_json() | beside, ensure_ascii=False))
                count, head = some[-1].seq, some[-1].hash
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
        erased, after = 0, None
        until = self._at.clock() - older_than
        while page := await self._at.store.read(partial(_erasable, until=until, after=after)):
            after = page[-1]
            ids = [approval_id for _, approval_id in page]
            erased += await self._at.store.write(partial(self._erase, page=ids, who=who, older_than=older_than))
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

    def _contents(self, view: View, entries: Sequence[Recorded]) -> list[JsonObject]:
        """Return for each entry the contents behind its digests, unless they were erased or are secret."""
        ids = [*dict.fromkeys(one.entry.approval for one in entries if one.entry.approval != NOWHERE)]
        texts = view.log.contents_of(ids)
        held: dict[str, _Kept] = {}
        for approval in view.lists.those(ids).values():
            if isinstance(approval, Unreadable):
                raise approval
            if approval.erased_at is None:
                held[approval.id] = self._kept(approval, texts.get(approval.id, {}))
        return [held[one.entry.approval].of(one) if one.entry.approval in held else {} for one in entries]

    def _kept(self, approval: Approval, texts: Mapping[str, str]) -> "_Kept":
        contents: dict[str, Any] = {digest: read_back(text) for digest, text in texts.items()}
        for content in (approval.payload, approval.answer, approval.reason):
            if content is not None:
                contents[content_digest(content) or ""] = content
        kind = self._at.rulebook.kind_of(approval.kind, approval.definition)
        return _Kept(contents, _payloads(approval) if hides(kind) else frozenset())


@dataclass(frozen=True, slots=True)
class _Kept:
    """The contents of an approval by digest, and the digests of those that are secret."""

    contents: JsonObject
    secret: frozenset[str]

    def of(self, recorded: Recorded) -> JsonObject:
        """Return what stands beside an entry in an export."""
        data = recorded.entry.data
        named = [value for value in data.values() if isinstance(value, str) and value in self.contents]
        contents = {digest: self.contents[digest] for digest in named if digest not in self.secret}
        redacted = [digest for digest in named if digest in self.secret]
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


def _payloads(approval: Approval) -> frozenset[str]:
    """Return the digests of all payloads that the approval has had."""
    edited = {content_digest(payload) or "" for edit in approval.edits for payload in (edit.before, edit.after)}
    return frozenset({approval.digest, approval.asked_digest} | edited)


def _erasable(view: View, *, until: datetime, after: tuple[int, str] | None) -> list[tuple[int, str]]:
    return view.sweeps.erasable(until, after, _ERASED_TOGETHER)
