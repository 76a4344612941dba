"""The statements about flows and their journal. Every write depends on the epoch of the lease."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.approvals.flow import LEASE, NOBODY, FlowState, JournalEntry, Lease, StepState
from mcp_hitl.domain.values.errors import Unreadable
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.store.flows import FlowChanges
from mcp_hitl.store.sql import loading
from mcp_hitl.store.sql.database import Database, places
from mcp_hitl.store.unreadable import reading

_MOST_SILENT = 5
_MOST_IN_ONE = 16
"""So many steps are written with one statement."""
_STEP = "(?, ?, CAST(? AS BIGINT), ?, ?, ?, ?, CAST(? AS BIGINT))"
_A_WHILE = timedelta(minutes=1)
"""So long, a process that runs would have claimed what was approved."""
_IN_ORDER = "ORDER BY flows.id || '' LIMIT ?"
"""Sorted, or PostgreSQL may look for the few that are found among all flows, in the order of their ids."""
_RUN_OUT = "(lease_until <= ? OR lease_until > ?)"
_LATEST = 253_402_300_799_999
"""The last millisecond that an instant can have; whoever wrote a later one must not stop the other flows."""


class SqlFlows(FlowChanges):
    """`FlowChanges` in statements that every database understands."""

    def __init__(self, db: Database) -> None:
        """Use `db`."""
        self._db = db

    def state(self, flow_id: str) -> FlowState | None:
        row: Any = self._db.execute("SELECT state FROM flows WHERE id = ?", (flow_id,)).fetchone()
        return None if row is None else FlowState(row[0])

    def runnable(
        self, now: datetime, kinds: Mapping[str, str | None], limit: int, alive: Sequence[str] = ()
    ) -> list[str]:
        found = self._db.execute(
            f"SELECT id FROM flows WHERE state = 'runnable' AND kind IN ({places(kinds)}) AND {_RUN_OUT} "
            f"AND (holder IS NULL OR holder NOT IN ({places(alive)})) "
            f"AND {_of_code(kinds)} ORDER BY lease_until, id LIMIT ?",
            (*kinds, to_ms(now), to_ms(now + LEASE), *alive, *kinds.values(), limit),
        )
        return [row[0] for row in found]

    def silent(self, now: datetime, flow_id: str | None = None) -> list[tuple[str, str]]:
        return self._db.execute(
            "SELECT flows.approval, holder FROM flows INDEXED BY flows_runnable "
            "JOIN approvals ON approvals.id = flows.approval "
            f"WHERE state = 'runnable' AND holder IS NOT NULL AND {_RUN_OUT} AND outcome_state = ? "
            f"AND flows.id = coalesce(?, flows.id) {_IN_ORDER}",
            (to_ms(now), to_ms(now + LEASE), OutcomeState.RUNNING.value, flow_id, _MOST_SILENT),
        ).fetchall()

    def unclaimed(self, now: datetime, flow_id: str | None = None) -> list[tuple[str, str, str | None]]:
        return self._db.execute(
            "SELECT approval, flows.kind, code FROM flows INDEXED BY flows_runnable "
            "JOIN approvals ON approvals.id = flows.approval "
            f"WHERE state = 'runnable' AND holder IS NULL AND {_RUN_OUT} AND status = ? AND resolved_at <= ? "
            f"AND flows.id = coalesce(?, flows.id) {_IN_ORDER}",
            (to_ms(now), to_ms(now + LEASE), Status.APPROVED.value, to_ms(now - _A_WHILE), flow_id, _MOST_SILENT),
        ).fetchall()

    def holders(self) -> list[str]:
        found = self._db.execute(
            "SELECT DISTINCT holder FROM flows WHERE state = 'runnable' AND holder IS NOT NULL ORDER BY holder"
        )
        return [row[0] for row in found]

    def next_wake(self, kinds: Mapping[str, str | None]) -> datetime | None:
        row: Any = self._db.execute(
            f"SELECT min(at) FROM (SELECT min(wake_at) AS at FROM flows WHERE state = 'sleeping' UNION ALL "
            f"SELECT min(lease_until) FROM flows WHERE state = 'runnable' AND kind IN ({places(kinds)}) "
            f"AND {_of_code(kinds)}) AS next",
            (*kinds, *kinds.values()),
        ).fetchone()
        return None if row[0] is None else from_ms(max(0, min(row[0], _LATEST)))

    def journals(self, flow_ids: Collection[str]) -> dict[str, list[JournalEntry] | Unreadable]:
        found = self._db.execute(
            "SELECT flow, position, step, name, state, output, branch, turn FROM journal "
            f"WHERE flow IN ({places(flow_ids)}) ORDER BY flow, branch, position",
            tuple(flow_ids),
        )
        steps: dict[str, list[Any]] = {flow_id: [] for flow_id in flow_ids}
        for flow_id, *row in found:
            steps[flow_id].append(row)
        return {flow_id: loading.each(_journal, rows) for flow_id, rows in steps.items()}

    def insert(self, flow_id: str, kind: str, approval_id: str, lease_until: datetime) -> Lease:
        self._db.execute(
            "INSERT INTO flows (id, kind, approval, state, wake_at, lease_until, epoch) "
            "VALUES (?, ?, ?, 'runnable', NULL, ?, 1)",
            (flow_id, kind, approval_id, to_ms(lease_until)),
        )
        return Lease(flow_id, kind, approval_id, 1)

    def claim(self, flow_ids: Sequence[str], now: datetime, until: datetime, holder: str | None = None) -> list[Lease]:
        found = self._db.execute(
            "UPDATE flows SET lease_until = ?, holder = ?, epoch = epoch + 1 "
            f"WHERE id IN ({places(flow_ids)}) AND state = 'runnable' AND {_RUN_OUT} "
            "RETURNING id, kind, approval, epoch",
            (to_ms(until), holder, *flow_ids, to_ms(now), to_ms(now + LEASE)),
        ).fetchall()
        return sorted((Lease(*row) for row in found), key=lambda lease: flow_ids.index(lease.flow))

    def disown(self, holder: str, but: Sequence[str]) -> None:
        self._db.execute(
            f"UPDATE flows SET holder = ? WHERE state = 'runnable' AND holder = ? AND id NOT IN ({places(but)})",
            (NOBODY, holder, *but),
        )

    def release(self, lease: Lease, until: datetime) -> bool:
        done = self._db.execute(
            "UPDATE flows SET lease_until = ?, holder = NULL, epoch = epoch + 1 "
            "WHERE id = ? AND epoch = ? AND state = 'runnable'",
            (to_ms(until), lease.flow, lease.epoch),
        )
        return done.rowcount == 1

    def renew(self, lease: Lease, until: datetime) -> bool:
        done = self._db.execute(
            "UPDATE flows SET lease_until = ? WHERE id = ? AND epoch = ? AND state = 'runnable'",
            (to_ms(until), lease.flow, lease.epoch),
        )
        return done.rowcount == 1

    def leave(self, lease: Lease, state: FlowState, *, wake_at: datetime | None = None) -> bool:
        done = self._db.execute(
            "UPDATE flows SET state = ?, wake_at = ?, lease_until = 0, holder = NULL, epoch = epoch + 1 "
            "WHERE id = ? AND epoch = ? AND state = 'runnable'",
            (state.value, wake_at and to_ms(wake_at), lease.flow, lease.epoch),
        )
        return done.rowcount == 1

    def wake(self, flow_id: str) -> bool:
        done = self._db.execute(
            "UPDATE flows SET state = 'runnable', wake_at = NULL, lease_until = 0 "
            "WHERE id = ? AND state IN ('waiting', 'sleeping')",
            (flow_id,),
        )
        return done.rowcount == 1

    def wake_sleepers(self, now: datetime) -> int:
        return self._db.execute(
            "UPDATE flows SET state = 'runnable', wake_at = NULL, lease_until = 0 "
            "WHERE state = 'sleeping' AND wake_at <= ?",
            (to_ms(now),),
        ).rowcount

    def settle(self, flow_id: str, state: FlowState, was: FlowState = FlowState.UNKNOWN) -> bool:
        done = self._db.execute(
            "UPDATE flows SET state = ?, holder = NULL, epoch = epoch + 1 WHERE id = ? AND state = ?",
            (state.value, flow_id, was.value),
        )
        return done.rowcount == 1

    def write_journal(self, lease: Lease, entries: Sequence[JournalEntry]) -> bool:
        return all(
            self._write(lease, entries[start : start + _MOST_IN_ONE]) for start in range(0, len(entries), _MOST_IN_ONE)
        )

    def _write(self, lease: Lease, entries: Sequence[JournalEntry]) -> bool:
        values = ", ".join([_STEP] * len(entries))
        done = self._db.execute(
            "INSERT INTO journal (flow, branch, position, step, name, state, output, turn) "
            "SELECT column1, column2, column3, column4, column5, column6, column7, column8 "
            f"FROM (VALUES {values}) AS steps "
            "WHERE EXISTS (SELECT 1 FROM flows WHERE id = ? AND epoch = ? AND state = 'runnable') "
            "ON CONFLICT (flow, branch, position) DO UPDATE "
            "SET state = excluded.state, output = excluded.output, turn = excluded.turn "
            "WHERE journal.state = 'claimed'",
            [value for entry in entries for value in _step_row(lease, entry)] + [lease.flow, lease.epoch],
        )
        return done.rowcount == len(entries)

    def mark_journal(self, lease: Lease, entry: JournalEntry) -> bool:
        done = self._db.execute(
            "UPDATE journal SET state = ?, turn = ? WHERE flow = ? AND branch = ? AND position = ? "
            "AND EXISTS (SELECT 1 FROM flows WHERE id = ? AND epoch = ? AND state = 'runnable')",
            (entry.state.value, entry.turn, lease.flow, entry.branch, entry.position, lease.flow, lease.epoch),
        )
        return done.rowcount == 1


def _step_row(lease: Lease, entry: JournalEntry) -> tuple[Any, ...]:
    return (
        lease.flow,
        entry.branch,
        entry.position,
        entry.step,
        entry.name,
        entry.state.value,
        entry.output,
        entry.turn,
    )


@reading
def _entry(row: Any) -> JournalEntry:
    return JournalEntry(row[0], row[1], row[2], StepState(row[3]), row[4], row[5], row[6])


def _journal(rows: list[Any]) -> list[JournalEntry]:
    return [_entry(row) for row in rows]


def _of_code(kinds: Collection[str]) -> str:
    code = "(SELECT code FROM approvals WHERE approvals.id = flows.approval)"
    return f"({code} IS NULL OR {code} IN ({places(kinds)}))"
