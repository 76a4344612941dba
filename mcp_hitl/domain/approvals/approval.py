"""Approvals, their decisions and edits, and what became of them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from mcp_hitl.domain.policy.policy import Assurance, Policy, Verdict
from mcp_hitl.domain.policy.principal import VOUCHED
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.ids import starter_of


class Status(StrEnum):
    """The status of an approval; every status but `pending` is final."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class OutcomeState(StrEnum):
    """What we know about the approved action itself."""

    NONE = "none"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the approved action: `result` if it succeeded, `error` if it failed."""

    state: OutcomeState = OutcomeState.NONE
    result: JsonObject | None = None
    error: str | None = None


HASTY = timedelta(seconds=2)
"""A person needs longer than this to read what they decide."""


def is_hasty(looked: timedelta | None) -> bool:
    """Return True if the approver decided faster than a person can read (THREATS T18)."""
    return looked is not None and looked < HASTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One approver's verdict on one revision; immutable.

    `nonce` identifies the form that was answered, so that a repeated answer is recognised (THREATS T38).
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
    """How long the approver had the approval on screen before deciding."""

    @property
    def assured(self) -> str:
        """The assurance in words, and who vouches for it if nobody but a program does."""
        vouched = ", as a program says" if self.established in VOUCHED else ""
        return f"{self.assurance.value}{vouched}"

    @property
    def hasty(self) -> bool:
        """True if the decision came faster than a person can read (THREATS T18)."""
        return is_hasty(self.looked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One edit by a person: the payload before and after it."""

    revision: int
    editor: str
    comment: str | None
    before: Any
    after: Any
    at: datetime
    established: str | None = None
    """How the editor was identified; None if a flow completed the payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A progress report from a flow."""

    step: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One held action: the payload, the requester, and the state of the decision.

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
    """The digest of the deduplication key that the requester sent."""
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
    """People who may also decide the present stage because it was escalated to them."""
    flow: str | None = None
    """The id of the flow that waits for this approval."""
    rule: str | None = None
    """The policy rule that decided the approval or chose its stages."""
    erased_at: datetime | None = None
    asked_digest: str = ""
    """The digest of the original payload, before any edit. A repeated request is recognised by it."""
    requested_as: str | None = None
    """How the requester was identified."""
    definition: str | None = None
    """The definition of the kind under which it was asked; see `Kind`. None if an earlier version asked."""
    code: str | None = None
    """The flow that carries it out, with the definition; see `Kind`. None if no flow does, or an earlier version asked.
    """

    @property
    def decisions_in_force(self) -> tuple[Decision, ...]:
        """The decisions on the current revision. Decisions on earlier revisions do not count."""
        return tuple(decision for decision in self.decisions if decision.revision == self.revision)

    @property
    def opened_by(self) -> str | None:
        """The id of the approval whose flow asked for this one; None if this approval did not come from such a flow."""
        first = None if self.flow is None else starter_of(self.flow)
        return None if first == self.id else first

    @property
    def why_ended(self) -> str | None:
        """The comment of the last rejection, or else `reason`; None if nobody gave a reason."""
        rejections = [d.comment for d in self.decisions_in_force if d.verdict is Verdict.REJECT and d.comment]
        return rejections[-1] if rejections else self.reason

    def seen_at(self, now: datetime) -> Status:
        """Return the status at `now`: an overdue approval is expired, even if the expiry is not recorded yet."""
        overdue = self.status is Status.PENDING and now >= self.expires_at
        return Status.EXPIRED if overdue else self.status
