"""Reads the log from its beginning, checks the hash chain, and collects what the log records of each approval."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.evidence.audit import Entry, Event, Recorded
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.values.canonical import JsonObject


class Broken(Exception):
    """The evidence is not intact; the message names the place and the fault."""


POLICY = "policy"
"""The `established` of a decision that a policy rule made instead of a principal."""

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
    """What the log records of one approval."""

    digest: str
    opened: tuple[object, ...]
    """The requester and how they were identified, the kind, the instant, and the digest of the original payload."""
    revision: int = 1
    status: Status = Status.PENDING
    ended_at: datetime | None = None
    outcome: OutcomeState = OutcomeState.NONE
    result: str | None = None
    error: str | None = None
    answer: str | None = None
    reason: str | None = None
    decisions: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    edits: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    rules: JsonObject = field(default_factory=JsonObject)
    rule: str | None = None
    wording: JsonObject = field(default_factory=JsonObject)
    cooldown_until: str | None = None
    asked: int = 1
    escalated: set[str] = field(default_factory=set[str])
    progress: list[object] = field(default_factory=list[object])
    erased_at: datetime | None = None


class Ledger:
    """Reads the chain from its beginning and collects what it records."""

    def __init__(self, genesis: str) -> None:
        """Start with `genesis` as the hash before the first entry."""
        self.seq = 0
        self.start: str = genesis
        self.head: str = genesis
        self.met_expected = False
        """True once an entry had the hash that the caller expects."""
        self.approvals: dict[str, Told] = {}
        self.paused: dict[str, tuple[str, datetime]] = {}
        """What is paused, by whom and since when; the empty text means everything."""

    def read(self, entries: Iterable[Recorded], *, expect: str | None = None) -> None:
        """Read the next entries.

        Raises:
            Broken: an entry is missing, changed, out of place, or does not follow from the ones before.
        """
        for recorded in entries:
            place = f"entry {self.seq + 1}"
            if recorded.seq != self.seq + 1:
                raise Broken(f"{place} is missing: entry {recorded.seq} follows entry {self.seq}")
            if not recorded.intact:
                raise Broken(f"{place} was changed: its hash does not match its contents")
            if recorded.previous != self.head:
                raise Broken(f"{place} does not continue the chain: the entry before it was replaced")
            self.seq, self.head = recorded.seq, recorded.hash
            self.met_expected = self.met_expected or recorded.hash == expect
            try:
                self._follow(recorded, place)
            except (KeyError, TypeError, AttributeError):
                raise Broken(f"{place} lacks a field that its event needs") from None

    def check_end(self, expect: str | None) -> None:
        """Check that the expected hash was in the chain, or was its beginning.

        Raises:
            Broken: it was in neither.
        """
        if expect not in (None, self.start) and not self.met_expected:
            raise Broken(
                f"the chain ends with entry {self.seq} and does not contain the expected hash: "
                "its end was cut off, or this is another database"
            )

    def _follow(self, recorded: Recorded, place: str) -> None:
        entry, data = recorded.entry, recorded.entry.data
        if entry.event is Event.PAUSED:
            self.paused[data.get("kind", "")] = entry.actor, entry.at
            return
        if entry.event is Event.RESUMED:
            self.paused.pop(data.get("kind", ""), None)
            return
        if entry.event in {Event.CLOCK_RESET, Event.SIGNED_IN, Event.SIGNED_OUT}:
            return
        if entry.event is Event.OPENED:
            if entry.approval in self.approvals:
                raise Broken(f"{place} opens {entry.approval} a second time")
            asked = str(data["payload"])
            told = Told(asked, (entry.actor, entry.established, data["kind"], entry.at, asked))
            _govern(told, data)
            self.approvals[entry.approval] = told
            return
        told = self.approvals.get(entry.approval)
        if told is None:
            raise Broken(f"{place} is about {entry.approval}, which was never opened")
        if entry.event is Event.EDITED:
            told.digest, told.revision = str(data["payload"]), entry.revision
            _govern(told, data)
            told.escalated.clear()
            told.edits.append(
                (entry.revision, entry.actor, data["before"], data["payload"], data.get("comment"), entry.at)
            )
        elif entry.event is Event.DECIDED:
            told.decisions.append(_decided(entry))
        elif entry.event in _ENDS:
            if told.status is not Status.PENDING:
                raise Broken(f"{place} ends {entry.approval}, which had ended as {told.status.value}")
            told.status, told.ended_at = _ENDS[entry.event], entry.at
            told.answer, told.reason = data.get("answer"), data.get("reason")
            told.cooldown_until = data.get("cooldown_until")
        elif entry.event in _OUTCOMES:
            told.outcome = _OUTCOMES[entry.event]
            told.result, told.error = data.get("result"), data.get("error")
        else:
            _note(told, entry)


def _note(told: Told, entry: Entry) -> None:
    """Record an event that neither resolves nor decides an approval."""
    match entry.event:
        case Event.ASKED_AGAIN:
            told.asked += 1
        case Event.ESCALATED:
            told.escalated.update(entry.data["to"])
        case Event.COOLDOWN_LIFTED:
            told.cooldown_until = None
        case Event.PROGRESS:
            told.progress.append(entry.data["report"])
        case Event.ERASED:
            told.erased_at = entry.at
        case _:
            pass


def _govern(told: Told, data: JsonObject) -> None:
    told.rules = {name: data.get(name) for name in ("policy", "expires_at")}
    told.wording = {name: data.get(name) for name in ("title", "claim", "form")}
    told.rule = data.get("rule")


def _decided(entry: Entry) -> tuple[object, ...]:
    data = entry.data
    return (
        entry.revision,
        data["stage"],
        data.get("approver", entry.actor),
        entry.established or POLICY,
        data["verdict"],
        entry.assurance,
        entry.at,
        data.get("looked_ms"),
        data.get("comment"),
    )


def recorded_of(line: JsonObject) -> Recorded:
    """Return the entry that one line of an export describes.

    Raises:
        Broken: the line is not an entry.
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
        raise Broken("it is not an entry") from None
