"""The emergency stop: nothing is decided, redeemed or run meanwhile; asking goes on."""

from datetime import datetime

from mcp_hitl.desk.recording import begin, record
from mcp_hitl.domain.audit import Event
from mcp_hitl.domain.principal import Principal
from mcp_hitl.store.protocol import Transaction


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
