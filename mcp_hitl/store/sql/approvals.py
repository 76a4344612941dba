"""The statements on single approvals, their decisions, edits and progress."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from mcp_hitl.domain.approvals.approval import Approval, Decision, Edit, Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.values.canonical import JsonObject, canonical, digest_of
from mcp_hitl.domain.values.instants import to_ms
from mcp_hitl.domain.values.same_object import Same
from mcp_hitl.store import rows
from mcp_hitl.store.approvals import ApprovalChanges
from mcp_hitl.store.lists import Listed
from mcp_hitl.store.sql import loading
from mcp_hitl.store.sql.database import Database, places

_MOST_IN_ONE = 100
"""So many requesters are looked for with one statement: SQLite allows 500 parts of it, and each has four."""


class SqlApprovals(ApprovalChanges):
    """`ApprovalChanges` in statements that every database understands."""

    def __init__(self, db: Database) -> None:
        """Use `db`."""
        self._db = db

    def get(self, approval_id: str) -> Approval | None:
        return loading.one(self._db, "WHERE id = ?", (approval_id,))

    def listed(self, ids: Collection[str]) -> list[Listed]:
        return loading.every_one(self._db, f"WHERE id IN ({places(ids)})", tuple(ids))

    def keyed(self, requester: str, kind: str, dedup_key: str) -> Approval | None:
        return loading.one(self._db, "WHERE requester = ? AND kind = ? AND dedup_key = ?", (requester, kind, dedup_key))

    def equal(self, requesters: Collection[str], kind: str, digest: str) -> list[Approval]:
        ids = tuple(requesters)
        pages = (ids[start : start + _MOST_IN_ONE] for start in range(0, len(ids), _MOST_IN_ONE))
        return [one for page in pages for one in self._equal(page, kind, digest)]

    def _equal(self, requesters: Collection[str], kind: str, digest: str) -> list[Approval]:
        # Named, or SQLite walks through all that the requester has ever asked, in the order of their ids.
        found = " UNION ALL ".join(
            f"SELECT {who} AS who, '{status}' AS status, max(id) AS id FROM approvals INDEXED BY {index} "
            f"WHERE requester = ? AND kind = ? AND {column} = ? AND status = '{status}'{keyless}"
            for who in range(len(requesters))
            for index, column in (("approvals_equal", "digest"), ("approvals_asked", "asked_digest"))
            for status, keyless in (("pending", " AND dedup_key IS NULL"), ("rejected", ""))
        )
        each = tuple(value for requester in requesters for value in (requester, kind, digest) * 4)
        return loading.all_of(
            self._db, f"WHERE id IN (SELECT max(id) FROM ({found}) AS equal GROUP BY who, status)", each
        )

    def lock(self, approval_id: str) -> Approval | None:
        """The thread's `BEGIN IMMEDIATE` holds the whole file."""
        return self.get(approval_id)

    def insert(self, approval: Approval) -> None:
        row = (*rows.approval_row(approval), rows.size_of(approval.payload))
        self._db.execute(f"INSERT INTO approvals ({rows.APPROVAL}, size) VALUES ({places(row)})", row)

    def add_decision(self, decision: Decision) -> bool:
        row = rows.decision_row(decision)
        done = self._db.execute(
            f"INSERT INTO decisions ({rows.DECISION}) VALUES ({places(row)}) "
            "ON CONFLICT (approval, revision, stage, approver) DO NOTHING",
            row,
        )
        if done.rowcount == 1:
            self._keep(decision.approval, decision.comment)
        return done.rowcount == 1

    def revise(self, approval: Approval, edit: Edit) -> bool:
        done = self._db.execute(
            "UPDATE approvals SET payload = ?, size = ?, digest = ?, revision = ?, title = ?, policy = ?, form = ?, "
            "rule = ?, stage_since = ?, timed_to = ?, next_at = ?, escalated = ? "
            "WHERE id = ? AND status = 'pending' AND revision = ?",
            (
                rows.payload_text(approval.payload),
                rows.size_of(approval.payload),
                approval.digest,
                approval.revision,
                approval.title,
                rows.policy_text(Same(approval.policy)),
                rows.json_or_null(approval.form),
                approval.rule,
                *rows.timing_row(approval),
                approval.id,
                approval.revision - 1,
            ),
        )
        if done.rowcount != 1:
            return False
        before, after = canonical(edit.before, what="payload"), canonical(edit.after, what="payload")
        for content in (before, after):
            self._keep_text(approval.id, digest_of(content), content.decode())
        self._keep(approval.id, edit.comment)
        self._db.execute(
            "INSERT INTO edits (approval, revision, editor, comment, before, after, at, established) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                approval.id,
                edit.revision,
                edit.editor,
                content_digest(edit.comment),
                digest_of(before),
                digest_of(after),
                to_ms(edit.at),
                edit.established,
            ),
        )
        return True

    def set_timing(self, approval: Approval) -> None:
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
        if was is None:
            where, states = "", ()
        else:
            where, states = f"AND outcome_state IN ({places(was)})", tuple(state.value for state in was)
        done = self._db.execute(
            f"UPDATE approvals SET outcome = ? WHERE id = ? {where}",
            (rows.outcome_text(outcome), approval_id, *states),
        )
        return done.rowcount == 1

    def count_ask(self, approval_id: str) -> None:
        self._db.execute("UPDATE approvals SET asked = asked + 1 WHERE id = ?", (approval_id,))

    def lift_cooldown(self, approval_id: str) -> None:
        self._db.execute("UPDATE approvals SET cooldown_until = NULL WHERE id = ?", (approval_id,))

    def add_progress(self, approval_id: str, progress: Progress, most: int) -> bool:
        done = self._db.execute(
            "INSERT INTO progress (approval, step, message, at) SELECT ?, ?, ?, CAST(? AS BIGINT) "
            "WHERE (SELECT count(*) FROM progress WHERE approval = ?) < ?",
            (approval_id, progress.step, progress.message, to_ms(progress.at), approval_id, most),
        )
        return done.rowcount == 1

    def erase(self, approval_id: str, at: datetime) -> None:
        row: Any = self._db.execute("SELECT outcome FROM approvals WHERE id = ?", (approval_id,)).fetchone()
        if row is None:
            return
        self._db.execute(
            "UPDATE approvals SET payload = 'null', title = '(erased)', claim = NULL, form = NULL, answer = NULL, "
            "reason = NULL, outcome = ?, erased_at = ? WHERE id = ?",
            (rows.without_result(row[0]), to_ms(at), approval_id),
        )
        self._db.execute("DELETE FROM contents WHERE approval = ?", (approval_id,))
        self._db.execute("DELETE FROM progress WHERE approval = ?", (approval_id,))
        self._db.execute(
            "UPDATE journal SET output = NULL WHERE step IN ('do', 'write') "
            "AND flow IN (SELECT id FROM flows WHERE approval = ?)",
            (approval_id,),
        )

    def _keep(self, approval_id: str, content: object) -> None:
        """Store the content behind a digest."""
        if content is not None:
            form = canonical(content, what="content")
            self._keep_text(approval_id, digest_of(form), form.decode())

    def _keep_text(self, approval_id: str, digest: str, text: str) -> None:
        self._db.execute(
            "INSERT INTO contents (approval, digest, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (approval_id, digest, text),
        )
