"""The emergency stop, in which nothing is decided, redeemed or run; and the clock that has to be set right."""

from datetime import datetime

from mcp_hitl.desk.recording import begin, record
from mcp_hitl.domain.audit import Event
from mcp_hitl.domain.instants import rfc3339
from mcp_hitl.domain.principal import Principal
from mcp_hitl.store.transaction import Transaction


def pause(tx: Transaction, who: Principal, kind: str | None, clock: datetime) -> bool:
    """Stop a kind, or everything; False where it was stopped already."""
    now = begin(tx, clock)
    stopped = tx.pause(kind, who.id, now)
    if stopped:
        record(tx, None, Event.PAUSED, now, who, kind=kind)
    return stopped


def resume(tx: Transaction, who: Principal, kind: str | None, clock: datetime) -> bool:
    """End a stop; False where there was none."""
    now = begin(tx, clock)
    resumed = tx.resume(kind)
    if resumed:
        record(tx, None, Event.RESUMED, now, who, kind=kind)
    return resumed


def reset_clock(tx: Transaction, who: Principal, clock: datetime) -> datetime:
    """Take the clock's word against the latest instant ever recorded; returns that one.

    For when a clock ran far ahead and came back: until then approvals with a `valid_for` count as used up.
    """
    mark = tx.mark()
    tx.remember(clock)
    record(tx, None, Event.CLOCK_RESET, clock, who, was=rfc3339(mark))
    return mark
