"""The emergency stop, during which nothing is decided, redeemed or run; and resetting the clock."""

from datetime import datetime

from mcp_hitl.desk.transactions.log_entries import begin, notice_older_copy, record
from mcp_hitl.domain.evidence.events import ClockReset, Paused, Resumed
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.clock import Boot
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.store.transaction import Transaction


def pause(tx: Transaction, who: Principal, kind: str | None, clock: datetime) -> bool:
    """Pause a kind, or everything. Return False if it was paused already."""
    now = begin(tx, clock)
    stopped = tx.stops.pause(kind, who.id, now)
    if stopped:
        record(tx, None, Paused(kind=kind), now, who)
    return stopped


def resume(tx: Transaction, who: Principal, kind: str | None, clock: datetime) -> bool:
    """Resume a kind, or everything. Return False if it was not paused."""
    now = begin(tx, clock)
    resumed = tx.stops.resume(kind)
    if resumed:
        record(tx, None, Resumed(kind=kind), now, who)
    return resumed


def reset_clock(tx: Transaction, who: Principal, clock: datetime, boot: Boot | None) -> datetime:
    """Trust the clock again instead of the latest instant ever recorded. Return that instant.

    Use it after a clock ran far ahead and was corrected; until then, approvals with a `valid_for` count as used up. Or
    use it after a clock was put right by a leap ahead, which is not believed until then. `boot` is what follows.
    """
    notice_older_copy(tx, clock)
    mark = tx.facts.mark()
    tx.facts.remember(clock)
    if boot is not None:
        tx.facts.set_boot(boot)
    record(tx, None, ClockReset(was=rfc3339(mark)), clock, who)
    return mark
