"""Approvals, their decisions and the one table of their lifecycle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.policy import Assurance, Policy, Verdict


class Status(StrEnum):
    """Where an approval stands; every status but `pending` is final."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


LIFECYCLE: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.APPROVED, Status.REJECTED, Status.EXPIRED, Status.CANCELLED}),
    Status.APPROVED: frozenset(),
    Status.REJECTED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""From each status, the ones it may become."""


class OutcomeState(StrEnum):
    """What is known of the approved action itself."""

    NONE = "none"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the approved action went: `result` where it succeeded, `error` where it failed."""

    state: OutcomeState = OutcomeState.NONE
    result: JsonObject | None = None
    error: str | None = None


HASTY = timedelta(seconds=2)
"""Less than anybody needs to read what they decide."""


def is_hasty(looked: timedelta | None) -> bool:
    """Whether a decision after so long a look came faster than a person reads (THREATS T18)."""
    return looked is not None and looked < HASTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One approver's verdict on one revision; immutable.

    `nonce` marks the form it was given on, so that the same answer sent again is recognised (THREATS T38).
    """

    approval: str
    revision: int
    stage: int
    approver: str
    established: str
    verdict: Verdict
    comment: str | None
    assurance: Assurance
    at: datetime
    nonce: str | None = None
    looked: timedelta | None = None
    """How long the approver had it before them."""

    @property
    def hasty(self) -> bool:
        """Whether it came faster than a person reads (THREATS T18)."""
        return is_hasty(self.looked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A revision that a person made: what was there before and what is there now."""

    revision: int
    editor: str
    comment: str | None
    before: Any
    after: Any
    at: datetime
    established: str | None = None
    """How the editor was established; None where a flow completed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a flow reported of itself."""

    step: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One held action: what it is, who asks, and how far it has come.

    `claim` is the agent's own wording; `policy` and `form` are copies made when it was opened. `stage` counts from 1.
    """

    id: str
    kind: str
    title: str
    claim: str | None
    status: Status
    payload: Any
    digest: str
    revision: int
    requester: str
    requested_at: datetime
    expires_at: datetime
    policy: Policy
    form: JsonObject | None
    dedup_key: str | None
    """The digest of the requester's key."""
    cooldown_until: datetime | None = None
    resolved_at: datetime | None = None
    asked: int = 1
    answer: JsonObject | None = None
    reason: str | None = None
    outcome: Outcome = field(default_factory=Outcome)
    decisions: tuple[Decision, ...] = ()
    edits: tuple[Edit, ...] = ()
    progress: tuple[Progress, ...] = ()
    stage_since: datetime
    timed_to: datetime
    escalated: tuple[str, ...] = ()
    """Who may decide the present stage beside its own approvers, by escalation."""
    flow: str | None = None
    """The id of the flow that waits for it."""
    rule: str | None = None
    """The rule of the policy that decided it or chose its stages."""
    erased_at: datetime | None = None
    asked_digest: str = ""
    """The digest of what was asked for, before anybody edited it: asking the same again is recognised by it."""
    requested_as: str | None = None
    """How the requester was established."""

    @property
    def decisions_in_force(self) -> tuple[Decision, ...]:
        """The decisions on the present revision; an edit leaves earlier ones behind."""
        return tuple(decision for decision in self.decisions if decision.revision == self.revision)

    @property
    def opened_by(self) -> str | None:
        """The approval that started the flow which asked for this one on its way; None where nothing but people did."""
        first = None if self.flow is None else self.flow.replace("flw_", "apr_")
        return None if first == self.id else first

    @property
    def why_ended(self) -> str | None:
        """The words it ended with: those of whoever rejected it last, or else `reason`; None where nobody gave any."""
        rejections = [d.comment for d in self.decisions_in_force if d.verdict is Verdict.REJECT and d.comment]
        return rejections[-1] if rejections else self.reason

    def seen_at(self, now: datetime) -> Status:
        """The status as anybody must read it at `now`: what is overdue has expired, recorded or not."""
        overdue = self.status is Status.PENDING and now >= self.expires_at
        return Status.EXPIRED if overdue else self.status
