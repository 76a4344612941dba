"""Reads the log from its beginning, checks the hash chain, and collects what the log records of each approval."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.approvals.quorum import POLICY
from mcp_hitl.domain.evidence import events
from mcp_hitl.domain.evidence.chain import Entry, Recorded
from mcp_hitl.domain.evidence.digests import Rules, Wording
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.evidence.fields import Incomplete
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.values.canonical import JsonObject


class Broken(Exception):
    """The evidence is not intact; the message names the place and the fault."""


@dataclass(slots=True)
class Told:
    """What the log records of one approval."""

    digest: str
    opened: tuple[object, ...]
    """The requester and how they were identified, the kind, the instant, and the digest of the original payload."""
    rules: Rules
    rule: str | None
    wording: Wording
    definition: tuple[str | None, str | None]
    revision: int = 1
    status: Status = Status.PENDING
    ended_at: datetime | None = None
    outcome: OutcomeState = OutcomeState.NONE
    result: str | None = None
    error: str | None = None
    answer: str | None = None
    reason: str | None = None
    decisions: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    nonces: list[str | None] = field(default_factory=list[str | None])
    """Of each decision, the digest of its nonce; None if there is none, or an earlier version wrote the entry."""
    edits: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    cooldown_until: str | None = None
    asked: int = 1
    escalated: set[str] = field(default_factory=set[str])
    progress: list[str] = field(default_factory=list[str])
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
        self.restored: int | None = None
        """The last entry that was known before an older copy was put back, until a person has confirmed it."""

        self.policy: str | None = None
        """The digest of the policy file in force; None as long as none is recorded."""

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
                self._follow(recorded.entry, place)
            except Incomplete:
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

    def _follow(self, entry: Entry, place: str) -> None:
        match events.read(entry):
            case events.Paused(kind=kind):
                self.paused[kind or ""] = entry.actor, entry.at
            case events.Resumed(kind=kind):
                self.paused.pop(kind or "", None)
            case events.PolicyChanged() as changed:
                if changed.was != self.policy:
                    raise Broken(f"{place} replaces another policy file than the one before it")
                self.policy = changed.policy
            case events.Restored(known=known):
                self.restored = known or 0
            case events.RestoreConfirmed():
                self.restored = None
            case events.ClockReset() | events.ClockSetBack() | events.SignedIn() | events.SignedOut():
                pass
            case events.Opened() as opened:
                if entry.approval in self.approvals:
                    raise Broken(f"{place} opens {entry.approval} a second time")
                self.approvals[entry.approval] = _told(entry, opened)
            case event:
                told = self.approvals.get(entry.approval)
                if told is None:
                    raise Broken(f"{place} is about {entry.approval}, which was never opened")
                if isinstance(event, events.Ended) and told.status is not Status.PENDING:
                    raise Broken(f"{place} ends {entry.approval}, which had ended as {told.status.value}")
                _add(told, entry, event)


def _told(entry: Entry, opened: events.Opened) -> Told:
    return Told(
        digest=opened.payload,
        opened=(entry.actor, entry.established, opened.kind, entry.at, opened.payload),
        rules=opened.rules,
        rule=opened.rule,
        wording=opened.wording,
        definition=(opened.definition, opened.code),
    )


def _add(told: Told, entry: Entry, event: events.Later) -> None:
    """Add what happened to an approval after it was opened."""
    match event:
        case events.Decided():
            told.decisions.append(_decision(entry, event))
            told.nonces.append(event.nonce)
        case events.Edited():
            _edit(told, entry, event)
        case events.Ended():
            told.status, told.ended_at = event.status, entry.at
            told.answer, told.reason, told.cooldown_until = event.answer, event.reason, event.cooldown_until
        case events.Started():
            told.outcome, told.result, told.error = event.state, None, None
        case events.Finished():
            told.outcome, told.result, told.error = event.state, event.result, event.error
        case _:
            _note(told, entry, event)


def _note(told: Told, entry: Entry, event: events.Aside) -> None:
    """Note an event that neither decides, changes nor ends anything."""
    match event:
        case events.AskedAgain():
            told.asked += 1
        case events.Escalated():
            told.escalated.update(event.to)
        case events.CooldownLifted():
            told.cooldown_until = None
        case events.Progressed():
            told.progress.append(event.report)
        case events.Erased():
            told.erased_at = entry.at
        case events.Reminded():
            pass


def _edit(told: Told, entry: Entry, edited: events.Edited) -> None:
    told.digest, told.revision = edited.payload, entry.revision
    told.rules, told.rule, told.wording = edited.rules, edited.rule, edited.wording
    told.escalated.clear()
    told.edits.append(
        (entry.revision, entry.actor, entry.established, edited.before, edited.payload, edited.comment, entry.at)
    )


def _decision(entry: Entry, decided: events.Decided) -> tuple[object, ...]:
    return (
        entry.revision,
        decided.stage,
        decided.approver or entry.actor,
        entry.established or POLICY,
        decided.verdict,
        entry.assurance,
        entry.at,
        decided.looked_ms,
        decided.comment,
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
