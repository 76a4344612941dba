"""The queries for approvals."""

import sqlite3
from datetime import datetime
from typing import Any

from mcp_hitl.domain.approvals.approval import Approval, Edit, Status
from mcp_hitl.domain.approvals.resolution import POLICY_STAGE
from mcp_hitl.domain.values.canonical import read_back
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.domain.values.payload import arranged_like
from mcp_hitl.store.sqlite import rows

_WHOLE = (
    f"{rows.APPROVAL}, "
    f"(SELECT json_group_array(json_array(rowid, {rows.DECISION}, "
    "(SELECT value FROM contents WHERE contents.approval = decisions.approval AND digest = comment))) "
    "FROM decisions WHERE decisions.approval = approvals.id), "
    "(SELECT json_group_array(json_array(rowid, step, message, at)) "
    "FROM progress WHERE progress.approval = approvals.id)"
)
"""Selects an approval with its decisions and progress in one statement, since this is the most frequent query."""
_OTHERS = "requester = ?1 AND kind = ?2 AND id <> ?3"
_RANK = (
    "CASE WHEN status <> 'rejected' THEN 2 "
    f"ELSE EXISTS (SELECT 1 FROM decisions WHERE approval = approvals.id AND stage = {POLICY_STAGE}) END"
)
_REJECTED = (
    "SELECT id FROM (SELECT id FROM approvals WHERE id IN (SELECT id FROM approvals INDEXED BY approvals_ending "
    f"WHERE {_OTHERS} AND status = 'rejected' ORDER BY id DESC LIMIT 1000) ORDER BY {_RANK}, id DESC LIMIT ?4)"
)
_NEWEST = f"SELECT id FROM (SELECT id FROM approvals WHERE {_OTHERS} ORDER BY id DESC LIMIT ?4)"
_EACH_ENDING = " UNION ALL ".join(
    "SELECT * FROM (SELECT status, expires_at FROM approvals INDEXED BY approvals_ending "
    f"WHERE {_OTHERS} AND status = '{status.value}' LIMIT ?5)"
    for status in Status
)


class ApprovalQueries:
    """The part of a view that finds approvals."""

    _db: sqlite3.Connection

    def get(self, approval_id: str) -> Approval | None:
        """See `View.get`."""
        return self._one("WHERE id = ?", (approval_id,))

    def lock(self, approval_id: str) -> Approval | None:
        """See `Transaction.lock`: the lane's `BEGIN IMMEDIATE` holds the whole file."""
        return self.get(approval_id)

    def pending(self, now: datetime, *, kind: str | None, after: str | None, limit: int) -> list[Approval]:
        """See `View.pending`."""
        where, values = _open(now, kind)
        return self._all(f"{where} AND id > ? ORDER BY id LIMIT ?", (*values, after or "", limit))

    def count_pending(self, now: datetime, *, kind: str | None, most: int) -> int:
        """See `View.count_pending`."""
        where, values = _open(now, kind)
        return self._number(f"SELECT count(*) FROM (SELECT 1 FROM approvals {where} LIMIT ?)", (*values, most))

    def every(self, after: str, limit: int) -> list[Approval]:
        """See `View.every`."""
        return self._all("WHERE id > ? ORDER BY id LIMIT ?", (after, limit))

    def keyed(self, requester: str, kind: str, dedup_key: str) -> Approval | None:
        """See `View.keyed`."""
        return self._one("WHERE requester = ? AND kind = ? AND dedup_key = ?", (requester, kind, dedup_key))

    def latest_equal(self, requester: str, kind: str, digest: str, status: Status) -> Approval | None:
        """See `View.latest_equal`."""
        keyless = "AND dedup_key IS NULL" if status is Status.PENDING else ""
        same = (requester, kind, digest, status.value)
        # Named, or SQLite walks through all that the requester has ever asked, in the order of their ids.
        return self._one(
            "WHERE id = (SELECT max(id) FROM ("
            "SELECT id FROM approvals INDEXED BY approvals_equal "
            f"WHERE requester = ? AND kind = ? AND digest = ? AND status = ? {keyless} UNION ALL "
            "SELECT id FROM approvals INDEXED BY approvals_asked "
            f"WHERE requester = ? AND kind = ? AND asked_digest = ? AND status = ? {keyless}))",
            same + same,
        )

    def earlier(self, requester: str, kind: str, but: str, limit: int) -> list[Approval]:
        """See `View.earlier`."""
        return self._all(
            f"WHERE id IN ({_REJECTED} UNION ALL {_NEWEST}) ORDER BY {_RANK}, id DESC LIMIT ?4",
            (requester, kind, but, limit),
        )

    def count_earlier(self, requester: str, kind: str, but: str, now: datetime, most: int) -> dict[Status, int]:
        """See `View.count_earlier`."""
        found = self._db.execute(
            "SELECT CASE WHEN status = 'pending' AND expires_at <= ?4 THEN 'expired' ELSE status END, count(*) "
            f"FROM ({_EACH_ENDING}) GROUP BY 1",
            (requester, kind, but, to_ms(now), most),
        )
        return {Status(row[0]): row[1] for row in found}

    def erasable(self, until: datetime, after: str, limit: int) -> list[str]:
        """See `View.erasable`."""
        found = self._db.execute(
            "SELECT id FROM approvals WHERE resolved_at <= ? AND resolved_at IS NOT NULL AND erased_at IS NULL "
            "AND id > ? ORDER BY id LIMIT ?",
            (to_ms(until), after, limit),
        )
        return [row[0] for row in found]

    def count_open(self, requester: str, kind: str, now: datetime, most: int) -> int:
        """See `View.count_open`."""
        return self._number(
            "SELECT count(*) FROM "
            "(SELECT 1 FROM approvals INDEXED BY approvals_open "
            "WHERE requester = ? AND kind = ? AND expires_at > ? AND status = 'pending' LIMIT ?)",
            (requester, kind, to_ms(now), most),
        )

    def count_ruled(self, requester: str, kind: str, rule: str, since: datetime) -> int:
        """See `View.count_ruled`."""
        return self._number(
            "SELECT count(*) FROM approvals WHERE requester = ? AND kind = ? AND rule = ? AND resolved_at > ? "
            "AND status = 'approved'",
            (requester, kind, rule, to_ms(since)),
        )

    def due(self, now: datetime, limit: int) -> list[str]:
        """See `View.due`."""
        found = self._db.execute(
            "SELECT id FROM approvals WHERE status = 'pending' AND next_at <= ? ORDER BY next_at LIMIT ?",
            (to_ms(now), limit),
        )
        return [row[0] for row in found]

    def next_due(self) -> datetime | None:
        """See `View.next_due`."""
        row: Any = self._db.execute("SELECT min(next_at) FROM approvals WHERE status = 'pending'").fetchone()
        return None if row[0] is None else from_ms(row[0])

    def _kept(self, approval_id: str, digest: str | None) -> Any:
        if digest is None:
            return None
        row: Any = self._db.execute(
            "SELECT value FROM contents WHERE approval = ? AND digest = ?", (approval_id, digest)
        ).fetchone()
        return None if row is None else read_back(row[0])

    def _number(self, statement: str, values: tuple[Any, ...]) -> int:
        row: Any = self._db.execute(statement, values).fetchone()
        return row[0]

    def _one(self, where: str, values: tuple[Any, ...]) -> Approval | None:
        row: Any = self._db.execute(f"SELECT {_WHOLE} FROM approvals {where}", values).fetchone()
        return None if row is None else self._approval(row)

    def _all(self, where: str, values: tuple[Any, ...]) -> list[Approval]:
        found = self._db.execute(f"SELECT {_WHOLE} FROM approvals {where}", values).fetchall()
        return [self._approval(row) for row in found]

    def _approval(self, row: Any) -> Approval:
        *_, decisions, progress = row
        edits = () if row[7] == 1 else self._edits(row[0], read_back(row[5]))
        return rows.approval_of(row, rows.decisions_of(decisions), edits, rows.progress_of(progress))

    def _edits(self, approval_id: str, payload: Any) -> tuple[Edit, ...]:
        """The edits, whose contents are kept in canonical form, with their fields in the present payload's order."""
        found = self._db.execute(
            "SELECT revision, editor, comment, before, after, at, established FROM edits "
            "WHERE approval = ? ORDER BY revision",
            (approval_id,),
        ).fetchall()
        return tuple(
            Edit(
                revision=row[0],
                editor=row[1],
                comment=self._kept(approval_id, row[2]),
                before=arranged_like(self._kept(approval_id, row[3]), payload),
                after=arranged_like(self._kept(approval_id, row[4]), payload),
                at=from_ms(row[5]),
                established=row[6],
            )
            for row in found
        )


def _open(now: datetime, kind: str | None) -> tuple[str, tuple[Any, ...]]:
    if kind is None:
        return "WHERE status = 'pending' AND expires_at > ?", (to_ms(now),)
    return "WHERE status = 'pending' AND expires_at > ? AND kind = ?", (to_ms(now), kind)
