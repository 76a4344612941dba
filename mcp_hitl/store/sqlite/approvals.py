"""The statements on approvals, their decisions, edits and progress."""

import sqlite3
from datetime import datetime
from decimal import Context, Decimal
from typing import Any

from mcp_hitl.domain.approval import Approval, Decision, Edit, Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.audit import content_digest
from mcp_hitl.domain.canonical import JsonObject, canonical, digest_of, read_back
from mcp_hitl.domain.instants import from_ms, to_ms
from mcp_hitl.domain.money import as_json
from mcp_hitl.store.sqlite import rows

_EXACT = Context(prec=1_000)
"""Enough digits for the sum of any two doubles: nothing is rounded away."""

_WHOLE = (
    f"{rows.APPROVAL}, "
    f"(SELECT json_group_array(json_array(rowid, {rows.DECISION}, "
    "(SELECT value FROM contents WHERE contents.approval = decisions.approval AND digest = comment))) "
    "FROM decisions WHERE decisions.approval = approvals.id), "
    "(SELECT json_group_array(json_array(rowid, step, message, at)) "
    "FROM progress WHERE progress.approval = approvals.id)"
)
"""An approval with its decisions and progress: one statement, since it is what is read most."""


class ApprovalStatements:
    """The part of a transaction that concerns approvals."""

    _db: sqlite3.Connection
    _stopped: frozenset[str] | None
    """What the emergency stop is on for, known for this transaction."""

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
            "WHERE requester = ? AND kind = ? AND id <> ? ORDER BY id DESC LIMIT ?", (requester, kind, but, limit)
        )

    def erasable(self, until: datetime, after: str, limit: int) -> list[str]:
        """See `View.erasable`."""
        found = self._db.execute(
            "SELECT id FROM approvals WHERE resolved_at <= ? AND resolved_at IS NOT NULL AND erased_at IS NULL "
            "AND id > ? ORDER BY id LIMIT ?",
            (to_ms(until), after, limit),
        )
        return [row[0] for row in found]

    def count_open(self, requester: str, kind: str, most: int) -> int:
        """See `View.count_open`."""
        return self._number(
            "SELECT count(*) FROM "
            "(SELECT 1 FROM approvals INDEXED BY approvals_open "
            "WHERE requester = ? AND kind = ? AND status = 'pending' LIMIT ?)",
            (requester, kind, most),
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

    def paused(self, kind: str | None) -> bool:
        """See `View.paused`."""
        if self._stopped is None:
            self._stopped = frozenset(self.pauses())
        return "" in self._stopped or kind in self._stopped

    def pauses(self) -> list[str]:
        """See `View.pauses`."""
        return [row[0] for row in self._db.execute("SELECT kind FROM pauses ORDER BY kind")]

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
        if done.rowcount == 1:
            self._keep(decision.approval, decision.comment)
        return done.rowcount == 1

    def revise(self, approval: Approval, edit: Edit) -> bool:
        """See `Transaction.revise`."""
        form = canonical(approval.payload, what="payload")
        done = self._db.execute(
            "UPDATE approvals SET payload = ?, digest = ?, revision = ?, title = ?, policy = ?, form = ?, rule = ?, "
            "stage_since = ?, timed_to = ?, next_at = ?, escalated = ? "
            "WHERE id = ? AND status = 'pending' AND revision = ?",
            (
                form.decode(),
                approval.digest,
                approval.revision,
                approval.title,
                rows.policy_text(approval.policy),
                rows.json_or_null(approval.form),
                approval.rule,
                *rows.timing_row(approval),
                approval.id,
                approval.revision - 1,
            ),
        )
        if done.rowcount != 1:
            return False
        before, after = canonical(edit.before, what="payload"), form
        for content in (before, after):
            self._keep_text(approval.id, digest_of(content), content.decode())
        self._keep(approval.id, edit.comment)
        self._db.execute(
            "INSERT INTO edits (approval, revision, editor, comment, before, after, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                approval.id,
                edit.revision,
                edit.editor,
                content_digest(edit.comment),
                digest_of(before),
                digest_of(after),
                to_ms(edit.at),
            ),
        )
        return True

    def set_timing(self, approval: Approval) -> None:
        """See `Transaction.set_timing`."""
        self._db.execute(
            "UPDATE approvals SET stage_since = ?, timed_to = ?, next_at = ?, escalated = ? "
            "WHERE id = ? AND status = 'pending'",
            (*rows.timing_row(approval), approval.id),
        )

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
            "UPDATE approvals SET status = ?, resolved_at = ?, answer = ?, reason = ?, cooldown_until = ?, "
            "next_at = NULL WHERE id = ? AND status = 'pending'",
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

    def set_outcome(self, approval_id: str, outcome: Outcome, *, was: tuple[OutcomeState, ...] | None = None) -> bool:
        """See `Transaction.set_outcome`."""
        if was is None:
            where, states = "", ()
        else:
            where, states = f"AND outcome ->> 'state' IN ({_places(was)})", tuple(state.value for state in was)
        done = self._db.execute(
            f"UPDATE approvals SET outcome = ? WHERE id = ? {where}",
            (rows.outcome_text(outcome), approval_id, *states),
        )
        return done.rowcount == 1

    def count_ask(self, approval_id: str) -> None:
        """See `Transaction.count_ask`."""
        self._db.execute("UPDATE approvals SET asked = asked + 1 WHERE id = ?", (approval_id,))

    def lift_cooldown(self, approval_id: str) -> None:
        """See `Transaction.lift_cooldown`."""
        self._db.execute("UPDATE approvals SET cooldown_until = NULL WHERE id = ?", (approval_id,))

    def add_progress(self, approval_id: str, progress: Progress) -> None:
        """See `Transaction.add_progress`."""
        self._db.execute(
            "INSERT INTO progress (approval, step, message, at) VALUES (?, ?, ?, ?)",
            (approval_id, progress.step, progress.message, to_ms(progress.at)),
        )

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

    def erase(self, approval_id: str, at: datetime) -> None:
        """See `Transaction.erase`."""
        self._db.execute(
            "UPDATE approvals SET payload = 'null', title = '(erased)', claim = NULL, form = NULL, answer = NULL, "
            "reason = NULL, dedup_key = NULL, outcome = json_set(outcome, '$.result', NULL, '$.error', NULL), "
            "erased_at = ? WHERE id = ?",
            (to_ms(at), approval_id),
        )
        self._db.execute("DELETE FROM contents WHERE approval = ?", (approval_id,))
        self._db.execute("DELETE FROM progress WHERE approval = ?", (approval_id,))
        self._db.execute(
            "UPDATE expenses SET description = '(erased)', category = NULL WHERE approval = ?", (approval_id,)
        )
        self._db.execute(
            "UPDATE journal SET output = NULL WHERE step IN ('do', 'write') "
            "AND flow IN (SELECT id FROM flows WHERE approval = ?)",
            (approval_id,),
        )

    def increase_counter(self, amount: Decimal) -> Decimal:
        """See `Transaction.increase_counter`. Text, since binary fractions would drift."""
        value = _EXACT.add(self.counter(), amount)
        self._db.execute("UPDATE counter SET value = ?", (str(value),))
        return value

    def add_expense(self, approval_id: str, amount: Decimal, expense: JsonObject) -> None:
        """See `Transaction.add_expense`."""
        self._db.execute(
            "INSERT INTO expenses (approval, amount, currency, description, category) VALUES (?, ?, ?, ?, ?)",
            (
                approval_id,
                str(as_json(amount)),
                expense["currency"],
                expense["description"],
                expense.get("category"),
            ),
        )

    def _keep(self, approval_id: str, content: object) -> None:
        """Keep what a digest stands for."""
        if content is not None:
            form = canonical(content, what="content")
            self._keep_text(approval_id, digest_of(form), form.decode())

    def _keep_text(self, approval_id: str, digest: str, text: str) -> None:
        self._db.execute(
            "INSERT INTO contents (approval, digest, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (approval_id, digest, text),
        )

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
        return rows.approval_of(
            row, rows.decisions_of(decisions), self._edits(row[0], row[7]), rows.progress_of(progress)
        )

    def _edits(self, approval_id: str, revision: int) -> tuple[Edit, ...]:
        if revision == 1:
            return ()
        found = self._db.execute(
            "SELECT revision, editor, comment, before, after, at FROM edits WHERE approval = ? ORDER BY revision",
            (approval_id,),
        ).fetchall()
        return tuple(
            Edit(
                revision=row[0],
                editor=row[1],
                comment=self._kept(approval_id, row[2]),
                before=self._kept(approval_id, row[3]),
                after=self._kept(approval_id, row[4]),
                at=from_ms(row[5]),
            )
            for row in found
        )


def _open(now: datetime, kind: str | None) -> tuple[str, tuple[Any, ...]]:
    if kind is None:
        return "WHERE status = 'pending' AND expires_at > ?", (to_ms(now),)
    return "WHERE status = 'pending' AND expires_at > ? AND kind = ?", (to_ms(now), kind)


def _places(row: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(row))
