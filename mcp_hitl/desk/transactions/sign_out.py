"""Ends every session of the inbox at once."""

from datetime import datetime

from mcp_hitl.desk.transactions.log_entries import record
from mcp_hitl.domain.evidence.events import SignedOut
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.store.transaction import Transaction


def shut_out(tx: Transaction, who: Principal | None, now: datetime) -> int:
    """End every session and void every link. Return the number of sessions ended."""
    tx.sessions.drop_outdated(now)
    ended, links = tx.sessions.shut_out()
    for session in ended:
        record(tx, None, SignedOut(person=session.who.id), now, who)
    if links:  # told even where nobody was signed in: somebody may be waiting for one to be used
        record(tx, None, SignedOut(links=links), now, who)
    return len(ended)
