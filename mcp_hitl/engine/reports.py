"""The progress that a flow reports, as its approval keeps it."""

from collections.abc import Callable
from datetime import datetime

from mcp_hitl.desk.transactions.log_entries import record
from mcp_hitl.domain.approvals.approval import Approval, Progress
from mcp_hitl.domain.evidence.digests import report_of
from mcp_hitl.domain.evidence.events import Progressed
from mcp_hitl.domain.values.canonical import check_text
from mcp_hitl.store.transaction import Transaction

MOST_PROGRESS = 500
"""The most characters of one progress report."""
MOST_REPORTS = 1_000
"""The reports that are kept of one flow, its first ones: whoever looks at its approval loads all of them."""


def reported(approval: Approval, step: str, message: str, at: datetime) -> Callable[[Transaction, datetime], None]:
    """Return what records this progress in a transaction."""
    check_text(message, "message")
    progress = Progress(step=step[:100], message=message[:MOST_PROGRESS], at=at)

    def work(tx: Transaction, now: datetime) -> None:
        if tx.approvals.add_progress(approval.id, progress, MOST_REPORTS):
            record(tx, approval, Progressed(report=report_of(progress)), now)

    return work
