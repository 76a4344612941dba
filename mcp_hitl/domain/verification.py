"""Checking the evidence: the chain by itself, and what is stored against what the chain says happened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mcp_hitl.domain.approval import Approval, OutcomeState, Status
from mcp_hitl.domain.audit import NOWHERE, Entry, Event, Recorded, content_digest
from mcp_hitl.domain.canonical import JsonObject, digest_of
from mcp_hitl.domain.policy import Assurance, Verdict


class Broken(Exception):
    """The evidence does not hold; the message names the place and what is wrong there."""


_ENDS: Mapping[Event, Status] = {
    Event.APPROVED: Status.APPROVED,
    Event.REJECTED: Status.REJECTED,
    Event.EXPIRED: Status.EXPIRED,
    Event.CANCELLED: Status.CANCELLED,
}
_OUTCOMES: Mapping[Event, OutcomeState] = {
    Event.STARTED: OutcomeState.RUNNING,
    Event.SUCCEEDED: OutcomeState.SUCCEEDED,
    Event.FAILED: OutcomeState.FAILED,
    Event.UNKNOWN: OutcomeState.UNKNOWN,
}


@dataclass(slots=True)
class Told:
    """What the log tells of one approval."""

    digest: str = ""
    revision: int = 0
    status: Status = Status.PENDING
    outcome: OutcomeState = OutcomeState.NONE
    answer: str | None = None
    reason: str | None = None
    decisions: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    erased: bool = False


class Ledger:
    """Reads the chain from its beginning and remembers what it tells."""

    def __init__(self, genesis: str) -> None:
        """Begin with `genesis` as the hash before the first entry."""
        self.seq = 0
        self.head: str = genesis
        self.met_expected = False
        """Whether the hash that somebody expects has come by."""
        self.approvals: dict[str, Told] = {}

    def read(self, entries: Iterable[Recorded], *, expect: str | None = None) -> None:
        """Read on.

        Raises:
            Broken: an entry is missing, changed, out of place, or does not follow from the ones before.
        """
        for recorded in entries:
            place = f"entry {self.seq + 1}"
            if recorded.seq != self.seq + 1:
                raise Broken(f"{place} is missing: entry {recorded.seq} follows entry {self.seq}")
            if not recorded.intact:
                raise Broken(f"{place} was changed: its hash is not that of what it says")
            if recorded.previous != self.head:
                raise Broken(f"{place} does not continue the chain: the entry before it was replaced")
            self.seq, self.head = recorded.seq, recorded.hash
            self.met_expected = self.met_expected or recorded.hash == expect
            if recorded.entry.approval != NOWHERE:
                self._follow(recorded, place)

    def _follow(self, recorded: Recorded, place: str) -> None:
        entry, data = recorded.entry, recorded.entry.data
        if entry.event is Event.OPENED:
            if entry.approval in self.approvals:
                raise Broken(f"{place} opens {entry.approval} a second time")
            self.approvals[entry.approval] = Told(digest=str(data["payload"]), revision=1)
            return
        told = self.approvals.get(entry.approval)
        if told is None:
            raise Broken(f"{place} is about {entry.approval}, which was never opened")
        if entry.event is Event.EDITED:
            told.digest, told.revision = str(data["payload"]), entry.revision
        elif entry.event is Event.DECIDED:
            approver = data.get("approver", entry.actor)
            told.decisions.append((entry.revision, data["stage"], approver, data["verdict"], data.get("comment")))
        elif entry.event in _ENDS:
            if told.status is not Status.PENDING:
                raise Broken(f"{place} ends {entry.approval}, which had ended as {told.status.value}")
            told.status = _ENDS[entry.event]
            told.answer, told.reason = data.get("answer"), data.get("reason")
        elif entry.event in _OUTCOMES:
            told.outcome = _OUTCOMES[entry.event]
        elif entry.event is Event.ERASED:
            told.erased = True


def check_stored(told: Told | None, approval: Approval, contents: Mapping[str, str]) -> None:
    """Compare an approval, as it is stored, with what the log tells of it.

    Raises:
        Broken: they differ.
    """
    if told is None:
        raise Broken(f"{approval.id} is stored, and no entry opened it")
    if approval.status is not told.status:
        raise Broken(f"{approval.id} is stored as {approval.status.value}; the log says {told.status.value}")
    if (approval.digest, approval.revision) != (told.digest, told.revision):
        raise Broken(f"{approval.id} has another digest or revision than the log says")
    if approval.outcome.state is not told.outcome:
        raise Broken(
            f"the outcome of {approval.id} is {approval.outcome.state.value}; the log says {told.outcome.value}"
        )
    for digest, text in contents.items():
        if digest_of(text.encode()) != digest:
            raise Broken(f"a content of {approval.id} does not match its digest {digest}")
    stored = [
        (d.revision, d.stage, d.approver, d.verdict.value, None if told.erased else content_digest(d.comment))
        for d in approval.decisions
    ]
    logged = [(*decision[:4], None) if told.erased else decision for decision in told.decisions]
    if stored != logged:
        raise Broken(f"the decisions on {approval.id} are not those that the log has")
    if not told.erased:
        _check_contents(told, approval)


def _check_contents(told: Told, approval: Approval) -> None:
    if content_digest(approval.payload) != approval.digest:
        raise Broken(f"the payload of {approval.id} does not match its digest")
    if content_digest(approval.answer) != told.answer or content_digest(approval.reason) != told.reason:
        raise Broken(f"the answer or the reason of {approval.id} does not match its digest")
    if approval.status is Status.APPROVED and not _explained(approval):
        raise Broken(f"{approval.id} is approved, and no decision says so")


def _explained(approval: Approval) -> bool:
    return any(d.verdict is Verdict.APPROVE and d.revision == approval.revision for d in approval.decisions)


def recorded_of(line: JsonObject) -> Recorded:
    """An entry as an export has it.

    Raises:
        Broken: it is none.
    """
    try:
        entry = Entry(
            approval=line["approval"],
            event=Event(line["event"]),
            revision=line["revision"],
            actor=line["actor"],
            established=line["established"],
            assurance=line["assurance"] and Assurance(line["assurance"]),
            at=datetime.fromisoformat(line["at"]),
            data=line["data"],
        )
        return Recorded(line["seq"], entry, line["previous"], line["hash"])
    except (KeyError, TypeError, ValueError):
        raise Broken("a line is not an entry") from None
