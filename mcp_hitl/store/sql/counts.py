"""Whether what triggers have counted is what is there."""

from mcp_hitl.store.sql.database import Database


def fault_in_counts(db: Database) -> str | None:
    """Compare what triggers have counted: whoever lowers it may have more open than the policy allows."""
    counted = "SELECT requester, kind, number, bytes FROM open_requests"
    there = (
        "SELECT requester, kind, count(*), sum(size) FROM approvals WHERE status = 'pending' GROUP BY requester, kind"
    )
    for one, other in ((counted, there), (there, counted)):
        if db.execute(f"SELECT 1 FROM ({one} EXCEPT {other}) AS differing").fetchone() is not None:
            return "the number of open requests that is kept for the limits is not what is there"
    return None
