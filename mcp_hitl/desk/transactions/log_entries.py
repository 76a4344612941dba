"""The parts of every change: take the time, and write the audit entry in the same transaction."""

from datetime import datetime, timedelta

from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.evidence.chain import NOWHERE, SYSTEM, Entry
from mcp_hitl.domain.evidence.events import AuditEvent
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.clock import present
from mcp_hitl.domain.values.errors import AlreadyResolved, NotFound, Paused
from mcp_hitl.present.approval_views import verdict_line
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

GRAIN = timedelta(seconds=1)
"""The precision of the latest instant, so that it is not written again for every change."""


def begin(tx: Transaction, clock: datetime) -> datetime:
    """Return the instant of this transaction, and raise the latest recorded instant to it."""
    mark = tx.facts.mark()
    if clock >= mark + GRAIN:
        tx.facts.remember(clock)
    return present(clock, mark)


def instant(view: View, clock: datetime) -> datetime:
    """Return the instant of this reading."""
    return present(clock, view.facts.mark())


def record(
    tx: Transaction,
    approval: Approval | None,
    event: AuditEvent,
    now: datetime,
    who: Principal | None = None,
    *,
    assurance: Assurance | None = None,
) -> None:
    """Append an audit entry. `who` is None if no principal acted."""
    tx.log.append(
        Entry(
            approval=approval.id if approval else NOWHERE,
            event=event.event,
            revision=approval.revision if approval else 0,
            actor=who.id if who else SYSTEM,
            established=who.established.value if who else None,
            assurance=assurance,
            at=now,
            data=event.data(),
        )
    )


def locked(tx: Transaction, approval_id: str) -> Approval:
    """Return the approval, locked until the commit.

    Raises:
        NotFound: there is no such approval.
    """
    approval = tx.approvals.lock(approval_id)
    if approval is None:
        raise NotFound
    return approval


def check_open(approval: Approval, now: datetime) -> None:
    """Refuse an approval that has left `pending`.

    Raises:
        AlreadyResolved: the message says how, when and by whom.
    """
    if approval.seen_at(now) is not Status.PENDING:
        raise AlreadyResolved(f"{verdict_line(approval, now)}. That is final; nothing was changed.")


def check_running(view: View, kind: str) -> None:
    """Refuse while the emergency stop is on (THREATS T15).

    Raises:
        Paused: it is on for this kind or for everything.
    """
    if view.stops.paused(kind):
        raise Paused("The emergency stop is on: nothing is decided, redeemed or run until somebody resumes it.")
