"""An older copy of the database is put back, and a person confirms that it may be used (THREATS T43)."""

from datetime import datetime

from mcp_hitl.desk.timekeeping import Timekeeper
from mcp_hitl.desk.transactions.log_entries import begin, in_order, record
from mcp_hitl.desk.transactions.sign_out import shut_out
from mcp_hitl.domain.evidence.events import RestoreConfirmed, Restored
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.clock import present
from mcp_hitl.store.transaction import Transaction


def restored(tx: Transaction, who: Principal, clock: Timekeeper) -> None:
    """Record in a copy that a person puts it back. What was approved in it is held until it is confirmed.

    Who had signed out since the copy was made would be signed in again, so everybody has to sign in anew.
    """
    mark, lost = tx.facts.mark(), tx.log.lost()
    clock.check(tx.facts.boot(clock.boot_id), mark)
    now = in_order(tx, present(clock(), mark))
    tx.facts.set_restored(lost[0] if lost else 0)
    record(tx, None, Restored(known=lost and lost[0], head=lost and lost[1]), now, who)
    shut_out(tx, who, now)


def confirm(tx: Transaction, who: Principal, clock: datetime) -> bool:
    """Record that a person confirms the copy. Return False if nothing was put back."""
    now = begin(tx, clock)
    if tx.facts.restored() is None:
        return False
    shut_out(tx, who, now)
    tx.facts.set_restored(None)
    record(tx, None, RestoreConfirmed(), now, who)
    tx.log.accept_loss()
    return True
