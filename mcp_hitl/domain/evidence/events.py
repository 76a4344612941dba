"""The events of the audit log, one class for each. Their fields are an entry's `data`, with digests for contents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, get_args

from mcp_hitl.domain.approvals.approval import Outcome, OutcomeState, Status
from mcp_hitl.domain.evidence.chain import Entry, content_digest
from mcp_hitl.domain.evidence.digests import Rules, Wording
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.evidence.fields import Fields, Names, read_as
from mcp_hitl.domain.policy.policy import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Fields):
    """A request was made."""

    event: ClassVar[Event] = Event.OPENED
    kind: str
    payload: str
    rule: str | None
    rules: Rules
    wording: Wording
    definition: str | None = None
    """The digest of the kind's definition: what was asked cannot be approved under another."""
    code: str | None = None
    """The digest of that and of the flow that carries it out."""


@dataclass(frozen=True, slots=True)
class AskedAgain(Fields):
    """The same request came again and joined this one."""

    event: ClassVar[Event] = Event.ASKED_AGAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Fields):
    """A person decided, or a policy rule: then `rule` is its name, and `approver` is named here."""

    event: ClassVar[Event] = Event.DECIDED
    verdict: Verdict
    stage: int
    digest: str | None
    """The payload that was decided on."""
    approver: str | None = None
    rule: str | None = None
    comment: str | None = None
    answer: str | None = None
    looked_ms: int | None = None
    nonce: str | None = None
    """The digest of what identifies the form or page that was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited(Fields):
    """A person changed the payload, or a flow completed it."""

    event: ClassVar[Event] = Event.EDITED
    before: str
    payload: str
    fields: Names
    """The changed fields that the kind's schema names."""
    others: int | None
    """The number of other changed fields."""
    comment: str | None
    rule: str | None
    rules: Rules
    wording: Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Fields):
    """The request ended: what all four endings have in common."""

    status: ClassVar[Status]
    answer: str | None = None
    reason: str | None = None
    cooldown_until: str | None = None


class Approved(Ended):
    """The request was approved."""

    event, status = Event.APPROVED, Status.APPROVED


class Rejected(Ended):
    """The request was rejected."""

    event, status = Event.REJECTED, Status.REJECTED


class Expired(Ended):
    """Nobody decided in time."""

    event, status = Event.EXPIRED, Status.EXPIRED


class Cancelled(Ended):
    """The requester cancelled the request, or its flow ended before it was decided."""

    event, status = Event.CANCELLED, Status.CANCELLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminded(Fields):
    """A reminder was due."""

    event: ClassVar[Event] = Event.REMINDED
    due: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated(Fields):
    """More people may decide."""

    event: ClassVar[Event] = Event.ESCALATED
    due: str
    to: Names


@dataclass(frozen=True, slots=True, kw_only=True)
class CooldownLifted(Fields):
    """A rejected request may be made again before the cooldown is over."""

    event: ClassVar[Event] = Event.COOLDOWN_LIFTED
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed(Fields):
    """A flow reported its progress."""

    event: ClassVar[Event] = Event.PROGRESS
    report: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Fields):
    """The action begins. `digest` is the payload that the requester carries out, if it is not a flow that does."""

    event: ClassVar[Event] = Event.STARTED
    state: ClassVar[OutcomeState] = OutcomeState.RUNNING
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Fields):
    """The action ended: what all three outcomes have in common."""

    state: ClassVar[OutcomeState]
    result: str | None = None
    error: str | None = None


class Succeeded(Finished):
    """The action succeeded."""

    event, state = Event.SUCCEEDED, OutcomeState.SUCCEEDED


class Failed(Finished):
    """The action failed."""

    event, state = Event.FAILED, OutcomeState.FAILED


class Unknown(Finished):
    """Nobody knows whether the action happened."""

    event, state = Event.UNKNOWN, OutcomeState.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused(Fields):
    """The emergency stop was turned on, for a kind or for everything."""

    event: ClassVar[Event] = Event.PAUSED
    kind: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Fields):
    """The emergency stop was turned off."""

    event: ClassVar[Event] = Event.RESUMED
    kind: str | None


@dataclass(frozen=True, slots=True)
class Erased(Fields):
    """The contents were erased."""

    event: ClassVar[Event] = Event.ERASED


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReset(Fields):
    """A person corrected the latest recorded time; `was` is the time before."""

    event: ClassVar[Event] = Event.CLOCK_RESET
    was: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSetBack(Fields):
    """The computer's clock was set back by more than a day: from here on, times begin again; `was` is the last one."""

    event: ClassVar[Event] = Event.CLOCK_SET_BACK
    was: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChanged(Fields):
    """The database was opened with another policy file than before: the digests of both files."""

    event: ClassVar[Event] = Event.POLICY_CHANGED
    policy: str
    was: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored(Fields):
    """An older copy of the database was put back. `known` and `head` are the last entry known before, if it is lost."""

    event: ClassVar[Event] = Event.RESTORED
    known: int | None = None
    head: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreConfirmed(Fields):
    """A person confirmed that what the older copy says may be acted on."""

    event: ClassVar[Event] = Event.RESTORE_CONFIRMED


@dataclass(frozen=True, slots=True)
class SignedIn(Fields):
    """A session of the inbox began."""

    event: ClassVar[Event] = Event.SIGNED_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedOut(Fields):
    """A person ended their own session, or the session of `person` was ended, or `links` sign-in links became void."""

    event: ClassVar[Event] = Event.SIGNED_OUT
    person: str | None = None
    links: int | None = None


Ending = Approved | Rejected | Expired | Cancelled
Result = Succeeded | Failed | Unknown
Aside = AskedAgain | Reminded | Escalated | CooldownLifted | Progressed | Erased
Later = Decided | Edited | Ending | Started | Result | Aside
"""What can happen to an approval after it was opened."""
Apart = (
    Paused | Resumed | ClockReset | ClockSetBack | PolicyChanged | Restored | RestoreConfirmed | SignedIn | SignedOut
)
"""What concerns no particular approval."""
AuditEvent = Opened | Later | Apart

_CLASSES: Mapping[Event, type[AuditEvent]] = {one.event: one for one in get_args(AuditEvent)}
ENDINGS: Mapping[Status, type[Ending]] = {one.status: one for one in get_args(Ending)}
RESOLVING = frozenset(one.event for one in ENDINGS.values())
"""The events that end the status `pending`."""
_RESULTS: Mapping[OutcomeState, type[Result]] = {one.state: one for one in get_args(Result)}


def result_of(outcome: Outcome) -> Result:
    """Return the event that an action ended with this outcome."""
    return _RESULTS[outcome.state](result=content_digest(outcome.result), error=content_digest(outcome.error))


def read(entry: Entry) -> AuditEvent:
    """Return the event that a stored entry is about.

    Raises:
        Incomplete: its data lacks a field that the event needs.
    """
    return read_as(_CLASSES[entry.event], entry.data)
