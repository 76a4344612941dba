"""The parts of every change: take the time, and write the audit entry in the same transaction."""

from datetime import datetime, timedelta

from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.evidence.chain import NOWHERE, SYSTEM, Entry
from mcp_hitl.domain.evidence.events import AuditEvent, ClockSetBack, Restored
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.clock import BELIEVABLE, present
from mcp_hitl.domain.values.errors import AlreadyResolved, NotFound, Paused
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.present.approval_views import verdict_line
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

GRAIN = timedelta(seconds=1)
"""The precision of the latest instant, so that it is not written again for every change."""


def begin(tx: Transaction, clock: datetime) -> datetime:
    """Return the instant of this transaction, and raise the latest recorded instant to it.

    If an older copy of the database was put back, that is recorded first; so is a clock that was set back.
    """
    mark = tx.facts.mark()
    if clock >= mark + GRAIN:
        tx.facts.remember(clock)
    now = in_order(tx, present(clock, mark))
    notice_older_copy(tx, now)
    return now


def in_order(tx: Transaction, now: datetime) -> datetime:
    """Return the instant of the next entry: the times of the log run backwards only where an entry says so."""
    newest = tx.log.newest()
    if newest is None or now >= newest:
        return now
    if newest - now <= BELIEVABLE:
        return newest
    record(tx, None, ClockSetBack(was=rfc3339(newest)), now)
    return now


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


def notice_older_copy(tx: Transaction, now: datetime) -> None:
    """Record that the chain lacks its newest head, so that nothing acts until a person confirms it (THREATS T43)."""
    lost = tx.log.lost()
    if lost is not None and tx.facts.restored() != lost[0]:
        tx.facts.set_restored(lost[0])
        record(tx, None, Restored(known=lost[0], head=lost[1]), in_order(tx, now))


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


def is_older_copy(view: View) -> bool:
    """Return True if an older copy of the database was put back, and nobody has confirmed it (THREATS T43)."""
    return view.facts.restored() is not None or view.log.lost() is not None


def is_stopped(view: View, kind: str) -> bool:
    """Return True if nothing may be decided, redeemed or run: an emergency stop, or an older copy (T15, T43)."""
    return view.stops.paused(kind) or is_older_copy(view)


def check_running(view: View, kind: str) -> None:
    """Refuse while `is_stopped`.

    Raises:
        Paused: the message says why.
    """
    if is_older_copy(view):
        raise Paused(
            "An older copy of this database was put back: nothing is decided, redeemed or run until a person confirms "
            "at a terminal that it may be used."
        )
    if view.stops.paused(kind):
        raise Paused("The emergency stop is on: nothing is decided, redeemed or run until somebody resumes it.")
