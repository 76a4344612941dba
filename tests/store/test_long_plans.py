"""What is asked again and again goes by an index in which only what it is about stands, on both databases."""

import re
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import postgres
import psycopg
import pytest
from samples import START

from mcp_hitl.domain.approvals.search import Sought
from mcp_hitl.domain.evidence.chain import Entry, Recorded
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.store.postgres.connection import connect as connect_to_server
from mcp_hitl.store.postgres.database import PostgresDatabase, translated
from mcp_hitl.store.sql.transaction import SqlTransaction
from mcp_hitl.store.sqlite.connection import connect, prepare
from mcp_hitl.store.sqlite.database import SqliteDatabase

Explained = tuple[SqlTransaction, list[str]]
LAST = Recorded(9, Entry(approval="apr_0", event=Event.OPENED, revision=1, actor="os:ana", at=START), "", "")
QUESTIONS: dict[str, tuple[Callable[[SqlTransaction], object], set[str]]] = {
    "how much is pending": (
        lambda tx: tx.lists.count_pending(START, kind=None, most=9),
        {"approvals_pending"},
    ),
    "the history": (
        lambda tx: tx.lists.sift_past(START, Sought(), before=None, limit=9, most=9),
        {"approvals_past", "approvals_pending"},
    ),
    "the log, by approval": (lambda tx: tx.log.by_approval(LAST, 9), {"audit_approval"}),
    "the last change of the policy": (lambda tx: tx.log.latest("policy_changed"), {"audit_apart"}),
    "what may be erased": (
        lambda tx: tx.sweeps.erasable(START - timedelta(days=1), (0, "apr_0"), 9),
        {"approvals_ended"},
    ),
    "what nobody could tell": (lambda tx: tx.sweeps.unsettled(9), {"approvals_unsettled"}),
    "what is open": (lambda tx: tx.sweeps.open_kinds(), {"approvals_pending_kind", "flows_open"}),
    "what went silent": (lambda tx: tx.flows.silent(START), {"flows_runnable"}),
    "what nobody claimed": (lambda tx: tx.flows.unclaimed(START), {"flows_runnable"}),
    "the newest of a requester": (
        lambda tx: tx.requesters.earlier("os:ana", "action", "apr_1", 5),
        {"approvals_requester", "approvals_ending"},
    ),
}
ALIKE = {"approvals_open": {"approvals_pending", "approvals_pending_kind"}, "flows_open": {"flows_runnable"}}
"""What PostgreSQL may take as well: no more stands in it."""
OURS = re.compile(r"using (?:covering )?(?:index )?((?:approvals|flows|audit)_(?!pkey)\w+)", re.IGNORECASE)
WHOLE = re.compile(r"\bSCAN (?:approvals|flows|audit|decisions)$|Seq Scan on (?:approvals|flows|audit|decisions)")


@pytest.fixture(params=["sqlite", "postgres"])
def explained(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Explained]:
    """A transaction, and the lines of the plans of its statements."""
    lines: list[str] = []
    if request.param == "sqlite":
        prepare(tmp_path / "hitl.db").close()

        class OnSqlite(SqliteDatabase):
            def execute(self, sql: str, parameters: Any = (), /) -> Any:
                if sql.startswith(("SELECT", "WITH")):
                    lines.extend(row[3] for row in super().execute(f"EXPLAIN QUERY PLAN {sql}", parameters))
                return super().execute(sql, parameters)

        with closing(connect(tmp_path / "hitl.db", OnSqlite)) as db:
            yield SqlTransaction(db), lines
        return

    class OnPostgres(PostgresDatabase):
        def execute(self, sql: str, parameters: Any = (), /) -> Any:
            if sql.startswith(("SELECT", "WITH")):
                found = psycopg.RawCursor(server).execute(b"EXPLAIN " + translated(sql)[0], _placed(sql, parameters))
                lines.extend(row[0] for row in found)
            return super().execute(sql, parameters)

    with connect_to_server(postgres.database_of(tmp_path)) as server:
        # The tables are empty, so the server is told that reading or sorting everything is dear.
        server.execute(
            "SET search_path = mcp_hitl; SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off"
        )
        yield SqlTransaction(OnPostgres(server)), lines


def _placed(sql: str, values: Any) -> list[object]:
    return [values[place] for place in translated(sql)[1]]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_goes_by_its_own_index(explained: Explained, question: str) -> None:
    ask, indexes = QUESTIONS[question]
    tx, lines = explained
    ask(tx)
    plan = "\n".join(lines)
    used = set(OURS.findall(plan))
    for index, others in ALIKE.items():
        used |= others if index in used else set()
    assert indexes <= used, plan
    assert not any(WHOLE.search(line) for line in lines), plan
