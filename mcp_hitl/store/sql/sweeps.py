"""The statements of sweeps. Some read whole tables, which no statement for a waiting caller does."""

from datetime import datetime
from typing import Any

from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.values.instants import LATEST, from_ms, to_ms
from mcp_hitl.store.lists import Listed
from mcp_hitl.store.sql import loading
from mcp_hitl.store.sql.database import Database
from mcp_hitl.store.sweeps import SweepReads

_FIRST = (-(2**63), "")


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

    def erasable(self, until: datetime, after: tuple[int, str] | None, limit: int) -> list[tuple[int, str]]:
        """Take them in the order of the index, so that what ended later is not looked at."""
        return self._db.execute(
            "SELECT resolved_at, id FROM approvals INDEXED BY approvals_ended WHERE resolved_at <= ? "
            "AND resolved_at IS NOT NULL AND erased_at IS NULL AND (resolved_at, id) > (?, ?) "
            "ORDER BY resolved_at, id LIMIT ?",
            (to_ms(until), *(after or _FIRST), limit),
        ).fetchall()

    def unsettled(self, limit: int) -> list[str]:
        found = self._db.execute(
            f"SELECT id FROM approvals WHERE status = 'approved' AND outcome_state = '{OutcomeState.UNKNOWN.value}' "
            "ORDER BY id LIMIT ?",
            (limit,),
        )
        return [row[0] for row in found]

    def open_kinds(self) -> dict[str, int]:
        found = self._db.execute(
            "SELECT kind, count(*) FROM (SELECT kind, id FROM approvals INDEXED BY approvals_pending_kind "
            "WHERE status = 'pending' UNION SELECT kind, approval FROM flows INDEXED BY flows_open "
            "WHERE state IN ('runnable', 'waiting', 'sleeping')) AS open GROUP BY kind ORDER BY kind"
        )
        return {row[0]: row[1] for row in found}
