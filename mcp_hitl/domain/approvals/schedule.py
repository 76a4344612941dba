"""Timed events of a pending approval: reminders, escalations, expiry; in order, each once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.quorum import quorum_of


class Timed(IntEnum):
    """The types of timed events, in the order in which they happen at the same instant."""

    REMINDER = 1
    ESCALATION = 2
    EXPIRY = 3


@dataclass(frozen=True, slots=True, order=True)
class TimedEvent:
    """One timed event; `number` counts the stage's reminders or escalations from 0."""

    at: datetime
    what: Timed
    number: int = 0


def due(approval: Approval, now: datetime) -> list[TimedEvent]:
    """Return the events that became due since `timed_to`, oldest first, up to and including expiry."""
    events: list[TimedEvent] = []
    for event in _ahead(approval):
        if event.at > now:
            break
        events.append(event)
        if event.what is Timed.EXPIRY:
            break
    return events


def next_due(approval: Approval) -> datetime:
    """Return the instant of the next event; at the latest, that is expiry."""
    return next(_ahead(approval)).at


def _ahead(approval: Approval) -> Iterator[TimedEvent]:
    policy = approval.policy
    stage = policy.stages[quorum_of(approval, approval.decisions_in_force).stage - 1]
    events = [
        *(TimedEvent(approval.stage_since + after, Timed.REMINDER, n) for n, after in enumerate(policy.remind_after)),
        *(TimedEvent(approval.stage_since + s.after, Timed.ESCALATION, n) for n, s in enumerate(stage.escalate)),
    ]
    yield from sorted(e for e in events if approval.timed_to < e.at < approval.expires_at)
    yield TimedEvent(approval.expires_at, Timed.EXPIRY)
