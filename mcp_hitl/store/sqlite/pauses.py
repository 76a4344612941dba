"""The statements on the emergency stop."""

import sqlite3
from datetime import datetime

from mcp_hitl.domain.values.instants import to_ms


class PauseStatements:
    """The part of a transaction that concerns pauses."""

    _db: sqlite3.Connection
    _stopped: frozenset[str] | None
    """The paused kinds, remembered within one transaction."""

    def paused(self, kind: str | None) -> bool:
        """See `View.paused`."""
        if self._stopped is None:
            self._stopped = frozenset(row[0] for row in self._db.execute("SELECT kind FROM pauses"))
        return "" in self._stopped or kind in self._stopped

    def pause(self, kind: str | None, by: str, at: datetime) -> bool:
        """See `Transaction.pause`."""
        self._stopped = None
        done = self._db.execute(
            "INSERT INTO pauses (kind, by, at) VALUES (?, ?, ?) ON CONFLICT (kind) DO NOTHING",
            (kind or "", by, to_ms(at)),
        )
        return done.rowcount == 1

    def resume(self, kind: str | None) -> bool:
        """See `Transaction.resume`."""
        self._stopped = None
        return self._db.execute("DELETE FROM pauses WHERE kind = ?", (kind or "",)).rowcount == 1
