"""Checking the evidence: the chain by itself, and what is stored against what the chain says happened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mcp_hitl.domain.approval import Approval, Decision, OutcomeState, Status
from mcp_hitl.domain.audit import Entry, Event, Recorded, content_digest
from mcp_hitl.domain.canonical import JsonObject, digest_of
from mcp_hitl.domain.governing import rules_of, wording_of
from mcp_hitl.domain.instants import rfc3339
from mcp_hitl.domain.policy import Assurance
from mcp_hitl.domain.resolution import resolve


class Broken(Exception):
    """The evidence does not hold; the message names the place and what is wrong there."""


POLICY = "policy"
"""How the approver of a decision is established that a rule made, and no principal."""

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

    digest: str
    opened: tuple[object, ...]
    """Requester, kind and instant."""
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
    wording: JsonObject = field(default_factory=JsonObject)
    cooldown_until: str | None = None
    asked: int = 1
    escalated: set[str] = field(default_factory=set[str])
    progress: list[object] = field(default_factory=list[object])
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
        self.paused: set[str] = set()

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
            try:
                self._follow(recorded, place)
            except (KeyError, TypeError, AttributeError):
                raise Broken(f"{place} lacks what its event needs") from None

    def _follow(self, recorded: Recorded, place: str) -> None:
        entry, data = recorded.entry, recorded.entry.data
        if entry.event is Event.PAUSED:
            self.paused.add(data.get("kind", ""))
            return
        if entry.event is Event.RESUMED:
            self.paused.discard(data.get("kind", ""))
            return
        if entry.event in {Event.CLOCK_RESET, Event.SIGNED_IN, Event.SIGNED_OUT}:
            return
        if entry.event is Event.OPENED:
            if entry.approval in self.approvals:
                raise Broken(f"{place} opens {entry.approval} a second time")
            told = Told(str(data["payload"]), (entry.actor, data["kind"], entry.at))
            told.rules, told.wording = _governing(data)
            self.approvals[entry.approval] = told
            return
        told = self.approvals.get(entry.approval)
        if told is None:
            raise Broken(f"{place} is about {entry.approval}, which was never opened")
        if entry.event is Event.EDITED:
            told.digest, told.revision = str(data["payload"]), entry.revision
            told.rules, told.wording = _governing(data)
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
    """What neither ends nor decides."""
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
            told.erased = True
        case _:
            pass


def _governing(data: JsonObject) -> tuple[JsonObject, JsonObject]:
    rules = {name: data.get(name) for name in ("policy", "expires_at")}
    return rules, {name: data.get(name) for name in ("title", "claim", "form")}


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


def _decision(decision: Decision) -> tuple[object, ...]:
    """The same facts as `_decided`, as they are stored."""
    return (
        decision.revision,
        decision.stage,
        decision.approver,
        decision.established,
        decision.verdict.value,
        decision.assurance,
        decision.at,
        None if decision.looked is None else decision.looked // timedelta(milliseconds=1),
        content_digest(decision.comment),
    )


def check_stored(told: Told, approval: Approval, contents: Mapping[str, str]) -> None:
    """Compare an approval, as it is stored, with what the log tells of it.

    Raises:
        Broken: they differ.
    """
    if approval.status is not told.status:
        raise Broken(f"{approval.id} is stored as {approval.status.value}; the log says {told.status.value}")
    if (approval.requester, approval.kind, approval.requested_at) != told.opened:
        raise Broken(f"{approval.id} has another requester, kind or beginning than the log says")
    if approval.resolved_at != told.ended_at:
        raise Broken(f"{approval.id} is stored as ended at another time than the log says")
    if (approval.digest, approval.revision) != (told.digest, told.revision):
        raise Broken(f"{approval.id} has another digest or revision than the log says")
    if approval.outcome.state is not told.outcome:
        raise Broken(
            f"the outcome of {approval.id} is {approval.outcome.state.value}; the log says {told.outcome.value}"
        )
    _check_rules(told, approval)
    for digest, text in contents.items():
        if digest_of(text.encode()) != digest:
            raise Broken(f"a content of {approval.id} does not match its digest {digest}")
    logged = [(*decision[:-1], None) if told.erased else decision for decision in told.decisions]
    if [_decision(decision) for decision in approval.decisions] != logged:
        raise Broken(f"the decisions on {approval.id} are not those that the log has")
    if told.erased:
        _check_erased(approval, contents)
    else:
        _check_contents(told, approval)


def _check_rules(told: Told, approval: Approval) -> None:
    """Compare what governs it: whoever changes that decides without deciding."""
    if rules_of(approval) != told.rules:
        raise Broken(f"the policy or the deadline of {approval.id} is not the one that the log has")
    if (approval.cooldown_until and rfc3339(approval.cooldown_until)) != told.cooldown_until:
        raise Broken(f"the cooldown of {approval.id} is not the one that the log has")
    if approval.asked != told.asked:
        raise Broken(
            f"{approval.id} was asked {told.asked} times by the log, and {approval.asked} times as it is stored"
        )
    if not set(approval.escalated) <= told.escalated:
        raise Broken(f"{approval.id} was escalated to somebody of whom the log knows nothing")


def _check_erased(approval: Approval, contents: Mapping[str, str]) -> None:
    left = (approval.payload, approval.answer, approval.reason, approval.outcome.result, approval.outcome.error)
    if contents or any(content is not None for content in left) or approval.progress:
        raise Broken(f"{approval.id} was erased, and has contents again")


def _check_contents(told: Told, approval: Approval) -> None:
    if wording_of(approval) != told.wording:
        raise Broken(f"the title, the claim or the form of {approval.id} is not the one that the log has")
    if [content_digest([one.step, one.message]) for one in approval.progress] != told.progress:
        raise Broken(f"the progress of {approval.id} is not what the log has")
    if content_digest(approval.payload) != approval.digest:
        raise Broken(f"the payload of {approval.id} does not match its digest")
    if content_digest(approval.answer) != told.answer or content_digest(approval.reason) != told.reason:
        raise Broken(f"the answer or the reason of {approval.id} does not match its digest")
    outcome = approval.outcome
    if (content_digest(outcome.result), content_digest(outcome.error)) != (told.result, told.error):
        raise Broken(f"what the outcome of {approval.id} says does not match its digest")
    edits = [
        (e.revision, e.editor, content_digest(e.before), content_digest(e.after), content_digest(e.comment), e.at)
        for e in approval.edits
    ]
    if edits != told.edits:
        raise Broken(f"the edits of {approval.id} are not those that the log has")
    decided = approval.resolved_at if approval.status in {Status.APPROVED, Status.REJECTED} else None
    if decided and resolve(approval, approval.decisions_in_force, decided) is not approval.status:
        raise Broken(f"{approval.id} is {approval.status.value}, and its decisions do not say so")


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
        raise Broken("it is not an entry") from None
