"""The statements on what else a requester has asked for."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.quorum import POLICY_STAGE
from mcp_hitl.domain.values.instants import to_ms
from mcp_hitl.store.lists import Listed
from mcp_hitl.store.requesters import RequesterReads
from mcp_hitl.store.sql import loading
from mcp_hitl.store.sql.database import Database, places

_OTHERS = "requester = ?1 AND kind = ?2 AND id <> ?3"
_RANK = (
    "CASE WHEN status <> 'rejected' THEN 2 "
    f"WHEN EXISTS (SELECT 1 FROM decisions WHERE approval = approvals.id AND stage = {POLICY_STAGE}) THEN 1 ELSE 0 END"
)
_REJECTED = (
    "SELECT id FROM (SELECT id FROM approvals WHERE id IN (SELECT id FROM approvals INDEXED BY approvals_ending "
    f"WHERE {_OTHERS} AND status = 'rejected' ORDER BY id DESC LIMIT 1000) ORDER BY {_RANK}, id DESC LIMIT ?4)"
    " AS rejected"
)
_NEWEST = (
    "SELECT id FROM (SELECT id FROM approvals WHERE (requester, kind, id) > (?1, ?2, '') "
    "AND (requester, kind, id) < (?1, ?2, '~') AND id <> ?3 ORDER BY requester DESC, kind DESC, id DESC LIMIT ?4) "
    "AS newest"
)
"""In the order of one index: in that of ids alone, PostgreSQL may look at everybody's requests for them."""
_EACH_ENDING = " UNION ALL ".join(
    "SELECT * FROM (SELECT status, expires_at FROM approvals INDEXED BY approvals_ending "
    f"WHERE {_OTHERS} AND status = '{status.value}' LIMIT ?5) AS {status.value}"
    for status in Status
)

_IDENTIFIED = """
WITH RECURSIVE found (one) AS (
    SELECT min(requester) FROM approvals WHERE requested_as = ?1
    UNION ALL
    SELECT (SELECT min(requester) FROM approvals WHERE requested_as = ?1 AND requester > one) FROM found
    WHERE one IS NOT NULL
)
SELECT one FROM found WHERE one IS NOT NULL
"""
"""Jumps from one id to the next: there are few, and each may have asked for very much."""


class SqlRequesters(RequesterReads):
    """`RequesterReads` in statements that every database understands."""

    def __init__(self, db: Database) -> None:
        """Use `db`."""
        self._db = db

    def earlier(self, requester: str, kind: str, but: str, limit: int) -> list[Listed]:
        return loading.every_one(
            self._db,
            f"WHERE id IN ({_REJECTED} UNION ALL {_NEWEST}) ORDER BY {_RANK}, id DESC LIMIT ?4",
            (requester, kind, but, limit),
        )

    def count_earlier(self, requester: str, kind: str, but: str, now: datetime, most: int) -> dict[Status, int]:
        found = self._db.execute(
            "SELECT CASE WHEN status = 'pending' AND expires_at <= ?4 THEN 'expired' ELSE status END, count(*) "
            f"FROM ({_EACH_ENDING}) AS found GROUP BY 1",
            (requester, kind, but, to_ms(now), most),
        )
        return {Status(row[0]): row[1] for row in found}

    def open(self, requesters: Collection[str], kind: str, now: datetime) -> tuple[int, int]:
        """Take what is overdue, which is little, from what triggers have counted."""
        row: Any = self._db.execute(
            "SELECT coalesce(sum(number), 0), coalesce(sum(bytes), 0) FROM ("
            f"SELECT number, bytes FROM open_requests WHERE requester IN ({places(requesters)}) AND kind = ? "
            "UNION ALL SELECT -count(*), -sum(size) FROM approvals INDEXED BY approvals_open "
            f"WHERE requester IN ({places(requesters)}) AND kind = ? AND expires_at <= ? AND status = 'pending') "
            "AS open",
            (*requesters, kind, *requesters, kind, to_ms(now)),
        ).fetchone()
        return int(row[0]), int(row[1])

    def identified_by(self, ways: Collection[str]) -> list[str]:
        found = (row[0] for way in sorted(ways) for row in self._db.execute(_IDENTIFIED, (way,)))
        return list(dict.fromkeys(found))

    def count_ruled(self, requester: str, kind: str, rule: str, since: datetime, now: datetime) -> int:
        return loading.number(
            self._db,
            "SELECT count(*) FROM approvals WHERE requester = ? AND kind = ? AND rule = ? AND resolved_at > ? "
            "AND resolved_at <= ? AND status = 'approved'",
            (requester, kind, rule, to_ms(since), to_ms(now)),
        )
