"""The statements on the emergency stop."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from mcp_hitl.domain.approvals.stop import Stop
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.store.sql.database import Database
from mcp_hitl.store.stops import StopChanges
from mcp_hitl.store.unreadable import reading


class SqlStops(StopChanges):
    """`StopChanges` in statements that every database understands."""

    def __init__(self, db: Database) -> None:
        """Use `db`."""
        self._db = db
        self._stopped: frozenset[str] | None = None
        """The paused kinds, remembered within one transaction."""

    def paused(self, kind: str | None) -> bool:
        if self._stopped is None:
            self._stopped = frozenset(row[0] for row in self._db.execute("SELECT kind FROM pauses"))
        return "" in self._stopped or kind in self._stopped

    def all(self) -> list[Stop]:
        found = self._db.execute("SELECT kind, by, at FROM pauses ORDER BY kind")
        return [_stop(row) for row in found]

    def pause(self, kind: str | None, by: str, at: datetime) -> bool:
        self._stopped = None
        done = self._db.execute(
            "INSERT INTO pauses (kind, by, at) VALUES (?, ?, ?) ON CONFLICT (kind) DO NOTHING",
            (kind or "", by, to_ms(at)),
        )
        return done.rowcount == 1

    def resume(self, kind: str | None) -> bool:
        self._stopped = None
        return self._db.execute("DELETE FROM pauses WHERE kind = ?", (kind or "",)).rowcount == 1

    def remember_stopped(self, kinds: Iterable[str]) -> None:
        """Take these for the kinds that are paused, until `forget`."""
        self._stopped = frozenset(kinds)

    def forget(self) -> None:
        """Forget what was remembered."""
        self._stopped = None


@reading
def _stop(row: Any) -> Stop:
    return Stop(row[0] or None, row[1], from_ms(row[2]))
