"""The statements of sweeps. Some read whole tables, which no statement for a waiting caller does."""

from datetime import datetime
from typing import Any

from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.values.instants import LATEST, from_ms, to_ms
from mcp_hitl.store.lists import Listed
from mcp_hitl.store.sql import loading
from mcp_hitl.store.sql.database import Database
from mcp_hitl.store.sweeps import SweepReads

_GOES_ON = (FlowState.RUNNABLE.value, FlowState.WAITING.value, FlowState.SLEEPING.value)


class SqlSweeps(SweepReads):
    """`SweepReads` in statements that every database understands."""

    def __init__(self, db: Database) -> None:
        """Use `db`."""
        self._db = db

    def every(self, after: str, limit: int, last: str | None = None) -> list[Listed]:
        if last is None:
            return loading.every_one(self._db, "WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return loading.every_one(self._db, "WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", (after, last, limit))

    def due(self, now: datetime, limit: int) -> list[str]:
        found = self._db.execute(
            "SELECT id FROM approvals WHERE status = 'pending' AND next_at <= ? ORDER BY next_at LIMIT ?",
            (to_ms(now), limit),
        )
        return [row[0] for row in found]

    def next_due(self) -> datetime | None:
        row: Any = self._db.execute("SELECT min(next_at) FROM approvals WHERE status = 'pending'").fetchone()
        return None if row[0] is None else from_ms(max(0, min(row[0], LATEST)))

    def erasable(self, until: datetime, after: str, limit: int) -> list[str]:
        found = self._db.execute(
            "SELECT id FROM approvals WHERE resolved_at <= ? AND resolved_at IS NOT NULL AND erased_at IS NULL "
            "AND id > ? ORDER BY id LIMIT ?",
            (to_ms(until), after, limit),
        )
        return [row[0] for row in found]

    def unsettled(self, limit: int) -> list[str]:
        found = self._db.execute(
            "SELECT id FROM approvals WHERE status = 'approved' AND outcome_state = ? ORDER BY id LIMIT ?",
            (OutcomeState.UNKNOWN.value, limit),
        )
        return [row[0] for row in found]

    def open_kinds(self) -> dict[str, int]:
        found = self._db.execute(
            "SELECT kind, count(*) FROM (SELECT kind, id FROM approvals WHERE status = 'pending' "
            "UNION SELECT kind, approval FROM flows WHERE state IN (?, ?, ?)) AS open GROUP BY kind ORDER BY kind",
            _GOES_ON,
        )
        return {row[0]: row[1] for row in found}
