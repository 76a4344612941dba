"""How SQLite finds things: by an index each, a bounded number of rows, whatever else there is."""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from samples import START, an_approval

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.search import Sought
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store.sql.transaction import SqlTransaction
from mcp_hitl.store.sqlite.connection import connect, prepare
from mcp_hitl.store.sqlite.database import SqliteDatabase

Work = Callable[[SqlTransaction], object]


class Explained:
    """A connection that notes the plan of each statement."""

    def __init__(self, db: SqliteDatabase) -> None:
        self._db = db
        self.plans: list[str] = []

    def fetched(self, sql: str, values: Any = ()) -> list[Any]:
        return self.execute(sql, values).fetchall()

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        self.plans.append(" | ".join(str(row[3]) for row in self._db.execute(f"EXPLAIN QUERY PLAN {sql}", values)))
        return self._db.execute(sql, values)


@pytest.fixture
def db(tmp_path: Path) -> Generator[SqliteDatabase]:
    """A database with one pending and one approved approval."""
    prepare(tmp_path / "hitl.db")
    with closing(connect(tmp_path / "hitl.db")) as db:
        tx = SqlTransaction(db)
        tx.approvals.insert(an_approval(id=approval_id(START, 1)))
        tx.approvals.insert(an_approval(id=approval_id(START, 2), status=Status.APPROVED, resolved_at=START))
        yield db


CASES: dict[str, tuple[Work, list[str]]] = {
    "what is pending": (
        lambda tx: tx.lists.sift_pending(START, Sought(words=("x",)), after=None, limit=9, most=9),
        ["approvals_pending", "sqlite_autoindex_approvals_1"],
    ),
    "what is pending, of a kind": (
        lambda tx: tx.lists.sift_pending(START, Sought(kind="expense", requester="x"), after=None, limit=9, most=9),
        ["approvals_pending_kind", "sqlite_autoindex_approvals_1"],
    ),
    "what was": (
        lambda tx: tx.lists.sift_past(START, Sought(), before=None, limit=9, most=9),
        ["approvals_past", "approvals_pending"],
    ),
    "what was, by everything": (
        lambda tx: tx.lists.sift_past(
            START,
            Sought(status=Status.EXPIRED, kind="x", requester="x", approver="x", words=("x",)),
            before=None,
            limit=9,
            most=9,
        ),
        ["approvals_past", "approvals_pending", "sqlite_autoindex_approvals_1", "sqlite_autoindex_decisions_1"],
    ),
    "who asked": (lambda tx: tx.lists.pending_requesters(START, 9), ["approvals_open"]),
    "what kinds": (lambda tx: tx.lists.pending_kinds(START, 9), ["approvals_pending_kind"]),
    "what ended": (
        lambda tx: tx.lists.ended(START, START, 9),
        ["approvals_ended", "approvals_erased", "approvals_due", "sqlite_autoindex_decisions_1"],
    ),
    "what was decided on it": (
        lambda tx: tx.lists.given(START, START),
        ["approvals_ended", "approvals_erased", "approvals_due", "sqlite_autoindex_decisions_1"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_search_goes_by_its_indexes_and_no_table_is_gone_through(db: SqliteDatabase, case: str) -> None:
    work, indexes = CASES[case]
    explained = Explained(db)
    work(SqlTransaction(explained))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    plan = " | ".join(explained.plans)
    used = {word for part in plan.split(" | ") for word in part.split() if word.startswith(("approvals_", "sqlite_"))}
    assert used == set(indexes)
    assert "SCAN approvals" not in plan and "SCAN decisions" not in plan and "AUTOMATIC" not in plan


def test_the_pages_of_the_history_come_in_order_without_sorting(db: SqliteDatabase) -> None:
    explained = Explained(db)
    SqlTransaction(explained).lists.sift_past(  # type: ignore[arg-type]
        START, Sought(), before=None, limit=9, most=9
    )
    assert len(explained.plans) == 2 and not any("TEMP B-TREE" in plan for plan in explained.plans)


def test_a_first_page_looks_at_its_own_rows_alone(db: SqliteDatabase) -> None:
    tx = SqlTransaction(db)
    for number in range(10, 2_010):
        tx.approvals.insert(an_approval(id=approval_id(START, number), status=Status.APPROVED, resolved_at=START))

    def steps() -> int:
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        db.set_progress_handler(step, 1)
        tx.lists.sift_past(START, Sought(), before=None, limit=10, most=10_000)
        db.set_progress_handler(None, 1)
        return count

    assert steps() < 10_000  # a look at every row takes more
