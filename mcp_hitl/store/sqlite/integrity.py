"""The statements for `doctor`. They read whole tables, which no statement for a waiting caller does."""

import sqlite3

from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.approvals.flow import FlowState

_GOES_ON = (FlowState.RUNNABLE.value, FlowState.WAITING.value, FlowState.SLEEPING.value)


class ExaminingStatements:
    """The part of a view that `doctor` uses."""

    _db: sqlite3.Connection

    def unsettled(self, limit: int) -> list[str]:
        """See `View.unsettled`."""
        found = self._db.execute(
            "SELECT id FROM approvals WHERE status = 'approved' AND outcome ->> 'state' = ? ORDER BY id LIMIT ?",
            (OutcomeState.UNKNOWN.value, limit),
        )
        return [row[0] for row in found]

    def open_kinds(self) -> dict[str, int]:
        """See `View.open_kinds`."""
        found = self._db.execute(
            "SELECT kind, count(*) FROM (SELECT kind, id FROM approvals WHERE status = 'pending' "
            "UNION SELECT kind, approval FROM flows WHERE state IN (?, ?, ?)) GROUP BY kind ORDER BY kind",
            _GOES_ON,
        )
        return {row[0]: row[1] for row in found}
