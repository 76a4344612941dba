"""What the log records of one approval, collected from its entries."""

from dataclasses import dataclass, field
from datetime import datetime

from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.approvals.quorum import POLICY
from mcp_hitl.domain.evidence import events
from mcp_hitl.domain.evidence.chain import Entry
from mcp_hitl.domain.evidence.digests import Rules, Wording


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

    @staticmethod
    def begin(entry: Entry) -> "Told | None":
        """Return what the first entry of an approval records; None if another one is the first."""
        event = events.read(entry)
        return _told(entry, event) if isinstance(event, events.Opened) else None

    def add(self, entry: Entry) -> None:
        """Add what a later entry records."""
        event = events.read(entry)
        if isinstance(event, events.Later):
            _add(self, entry, event)


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
