"""Every statement on a path that serves somebody, each in the method that runs it."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import Any

from mcp_hitl.domain.approval import Approval, Decision, Outcome, Status
from mcp_hitl.domain.audit import Entry, Recorded
from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.instants import to_ms
from mcp_hitl.store.sqlite import rows

_EXACT = Context(prec=1_000)
"""Enough digits for the sum of any two doubles: nothing is rounded away."""


class SqliteTransaction:
    """The view and the transaction of the protocol, on one connection and within one `BEGIN`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Work on `db`; its lane begins and commits."""
        self._db = db

    def get(self, approval_id: str) -> Approval | None:
        """See `View.get`."""
        return self._one("WHERE id = ?", (approval_id,))

    def lock(self, approval_id: str) -> Approval | None:
        """See `Transaction.lock`: the lane's `BEGIN IMMEDIATE` holds the whole file."""
        return self.get(approval_id)

    def pending(self, now: datetime, *, kind: str | None, after: str | None, limit: int) -> list[Approval]:
        """See `View.pending`."""
        where, values = _open(now, kind)
        found = self._db.execute(
            f"SELECT {rows.APPROVAL} FROM approvals {where} AND id > ? ORDER BY id LIMIT ?",
            (*values, after or "", limit),
        ).fetchall()
        return [self._approval(row) for row in found]

    def count_pending(self, now: datetime, *, kind: str | None, most: int) -> int:
        """See `View.count_pending`."""
        where, values = _open(now, kind)
        counted: Any = self._db.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM approvals {where} LIMIT ?)", (*values, most)
        ).fetchone()
        return counted[0]

    def keyed(self, requester: str, kind: str, dedup_key: str) -> Approval | None:
        """See `View.keyed`."""
        return self._one("WHERE requester = ? AND kind = ? AND dedup_key = ?", (requester, kind, dedup_key))

    def latest_equal(self, requester: str, kind: str, digest: str, status: Status) -> Approval | None:
        """See `View.latest_equal`."""
        keyless = "AND dedup_key IS NULL" if status is Status.PENDING else ""
        return self._one(
            f"WHERE requester = ? AND kind = ? AND digest = ? AND status = ? {keyless} ORDER BY id DESC LIMIT 1",
            (requester, kind, digest, status.value),
        )

    def entries(self, approval_id: str) -> list[Recorded]:
        """See `View.entries`."""
        found = self._db.execute(f"SELECT {rows.ENTRY} FROM audit WHERE approval = ? ORDER BY seq", (approval_id,))
        return [rows.recorded_of(row) for row in found]

    def news(self, after: int, limit: int) -> Sequence[tuple[int, str]]:
        """See `View.news`."""
        return self._db.execute(
            "SELECT seq, approval FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        ).fetchall()

    def last_seq(self) -> int:
        """See `View.last_seq`."""
        found: Any = self._db.execute("SELECT coalesce(max(seq), 0) FROM audit").fetchone()
        return found[0]

    def counter(self) -> Decimal:
        """See `View.counter`."""
        found: Any = self._db.execute("SELECT value FROM counter").fetchone()
        return Decimal(found[0])

    def insert(self, approval: Approval) -> None:
        """See `Transaction.insert`."""
        row = rows.approval_row(approval)
        self._db.execute(f"INSERT INTO approvals ({rows.APPROVAL}) VALUES ({_places(row)})", row)

    def add_decision(self, decision: Decision) -> bool:
        """See `Transaction.add_decision`."""
        row = rows.decision_row(decision)
        done = self._db.execute(
            f"INSERT INTO decisions ({rows.DECISION}) VALUES ({_places(row)}) "
            "ON CONFLICT (approval, revision, stage, approver) DO NOTHING",
            row,
        )
        return done.rowcount == 1

    def resolve(
        self,
        approval_id: str,
        status: Status,
        at: datetime,
        *,
        answer: JsonObject | None = None,
        reason: str | None = None,
        cooldown_until: datetime | None = None,
    ) -> bool:
        """See `Transaction.resolve`."""
        done = self._db.execute(
            "UPDATE approvals SET status = ?, resolved_at = ?, answer = ?, reason = ?, cooldown_until = ? "
            "WHERE id = ? AND status = 'pending'",
            (
                status.value,
                to_ms(at),
                rows.json_or_null(answer),
                reason,
                cooldown_until and to_ms(cooldown_until),
                approval_id,
            ),
        )
        return done.rowcount == 1

    def set_outcome(self, approval_id: str, outcome: Outcome) -> None:
        """See `Transaction.set_outcome`."""
        self._db.execute("UPDATE approvals SET outcome = ? WHERE id = ?", (rows.outcome_text(outcome), approval_id))

    def count_ask(self, approval_id: str) -> None:
        """See `Transaction.count_ask`."""
        self._db.execute("UPDATE approvals SET asked = asked + 1 WHERE id = ?", (approval_id,))

    def lift_cooldown(self, approval_id: str) -> None:
        """See `Transaction.lift_cooldown`."""
        self._db.execute("UPDATE approvals SET cooldown_until = NULL WHERE id = ?", (approval_id,))

    def append(self, entry: Entry) -> None:
        """See `Transaction.append`. The next `seq` is ours alone: the file is locked for this transaction."""
        row = (self.last_seq() + 1, *rows.entry_row(entry))
        self._db.execute(f"INSERT INTO audit ({rows.ENTRY}) VALUES ({_places(row)})", row)

    def increase_counter(self, amount: Decimal) -> Decimal:
        """See `Transaction.increase_counter`. Text, since binary fractions would drift."""
        value = _EXACT.add(self.counter(), amount)
        self._db.execute("UPDATE counter SET value = ?", (str(value),))
        return value

    def _one(self, where: str, values: tuple[Any, ...]) -> Approval | None:
        row: Any = self._db.execute(f"SELECT {rows.APPROVAL} FROM approvals {where}", values).fetchone()
        return None if row is None else self._approval(row)

    def _approval(self, row: Any) -> Approval:
        found = self._db.execute(
            f"SELECT {rows.DECISION} FROM decisions WHERE approval = ? ORDER BY rowid", (row[0],)
        ).fetchall()
        return rows.approval_of(row, tuple(rows.decision_of(decision) for decision in found))


def _open(now: datetime, kind: str | None) -> tuple[str, tuple[Any, ...]]:
    if kind is None:
        return "WHERE status = 'pending' AND expires_at > ?", (to_ms(now),)
    return "WHERE status = 'pending' AND expires_at > ? AND kind = ?", (to_ms(now), kind)


def _places(row: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(row))
