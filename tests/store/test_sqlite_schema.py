"""What the domain promises stands in the schema once more: attacked here with plain SQLite, past all our code."""

import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from samples import START, a_decision, an_approval

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.evidence.chain import Entry
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store import rows
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.transaction import Transaction

IDS = {status: approval_id(START, number) for number, status in enumerate(Status)}


@pytest.fixture
def db(tmp_path: Path) -> Generator[sqlite3.Connection]:
    """A plain connection to a store with an approval in each status, one decision and two entries."""

    def fill(tx: Transaction) -> None:
        for status, id_ in IDS.items():
            resolved_at = None if status is Status.PENDING else START
            tx.approvals.insert(
                an_approval(id=id_, status=status, resolved_at=resolved_at, dedup_key=f"key of {status.value}")
            )
        tx.approvals.add_decision(a_decision(approval=IDS[Status.APPROVED]))
        tx.log.append(Entry(approval=IDS[Status.APPROVED], event=Event.OPENED, revision=1, actor="os:ana", at=START))
        tx.log.append(Entry(approval=IDS[Status.APPROVED], event=Event.APPROVED, revision=1, actor="os:ana", at=START))

    async def make() -> None:
        store = SqliteStore(tmp_path / "hitl.db")
        await store.write(fill)
        await store.close()

    anyio.run(make)
    with closing(sqlite3.connect(tmp_path / "hitl.db", isolation_level=None)) as connection:
        yield connection


def everything(db: sqlite3.Connection) -> list[object]:
    return [db.execute(f"SELECT * FROM {table}").fetchall() for table in ("approvals", "decisions", "audit")]


ATTACKS = [
    "UPDATE decisions SET verdict = 'reject'",
    "UPDATE decisions SET comment = 'swapped'",
    "UPDATE OR IGNORE decisions SET approver = 'os:bo'",
    "DELETE FROM decisions",
    "UPDATE audit SET actor = 'os:bo'",
    "UPDATE audit SET seq = seq + 10",
    "UPDATE OR REPLACE audit SET seq = 1 WHERE seq = 2",
    "DELETE FROM audit",
    "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
    "INSERT OR REPLACE INTO audit SELECT seq, approval, event, revision, 'os:bo', established, assurance, at, data, "
    "previous, hash FROM audit",
    "REPLACE INTO audit SELECT 1, approval, event, revision, 'os:bo', established, assurance, at, data, "
    "previous, hash FROM audit",
    "INSERT INTO audit SELECT * FROM audit",
    "DELETE FROM approvals",
    "DELETE FROM approvals WHERE status = 'pending'",
    "UPDATE approvals SET payload = '{}' WHERE status = 'pending'",
    "UPDATE approvals SET digest = 'sha256:0' WHERE status = 'pending'",
    "UPDATE approvals SET payload = '{}', revision = revision + 1 WHERE status = 'approved'",
    "UPDATE approvals SET status = 'approved', next_at = NULL WHERE status = 'pending'",  # without its instant
    "UPDATE approvals SET status = 'approved', resolved_at = 1 WHERE status = 'pending'",  # with time still to pass
    "UPDATE approvals SET resolved_at = 1 WHERE status = 'pending'",
    "UPDATE approvals SET next_at = NULL WHERE status = 'pending'",  # time would forget it
    "UPDATE approvals SET revision = 0",
    f"INSERT OR REPLACE INTO approvals ({rows.APPROVAL}) SELECT {rows.APPROVAL} FROM approvals "
    "WHERE status = 'approved'",
    "INSERT OR REPLACE INTO approvals SELECT 'apr_other', kind, title, claim, status, payload, digest, revision, "
    "requester, requested_at, expires_at, resolved_at, policy, form, dedup_key, cooldown_until, asked, answer, reason, "
    "outcome, stage_since, timed_to, next_at, escalated, flow, rule, erased_at, asked_digest, requested_as, "
    "definition, code, size FROM approvals WHERE status = 'approved'",
    "INSERT INTO decisions SELECT 'apr_none', revision, stage, approver, established, 'maybe', comment, looked, "
    "assurance, nonce, at FROM decisions",
    "INSERT INTO decisions SELECT approval, 9, stage, approver, established, verdict, comment, looked, 'certain', "
    "nonce, at FROM decisions",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_schema_refuses(db: sqlite3.Connection, attack: str) -> None:
    before = everything(db)
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(attack)
    assert everything(db) == before


@pytest.mark.parametrize(
    "attack",
    [
        # in the way of the same approver's decision
        "INSERT OR REPLACE INTO decisions SELECT approval, revision, stage, approver, established, 'reject', "
        "'swapped', looked, assurance, nonce, at FROM decisions",
        # in the way of its row
        "INSERT OR REPLACE INTO decisions (rowid, approval, revision, stage, approver, established, verdict, "
        "assurance, at) SELECT rowid, approval, revision, stage, 'os:bo', established, 'reject', "
        "assurance, at FROM decisions",
    ],
)
def test_a_decision_cannot_be_replaced_by_another(db: sqlite3.Connection, attack: str) -> None:
    before = everything(db)
    db.execute(attack)
    assert everything(db) == before


@pytest.mark.parametrize("to", Status)
@pytest.mark.parametrize("origin", Status)
def test_the_schema_lets_an_approval_leave_pending_and_no_other_status(
    db: sqlite3.Connection, origin: Status, to: Status
) -> None:
    if origin is to:
        return
    resolved_at = None if to is Status.PENDING else 1
    change = "UPDATE approvals SET status = ?, resolved_at = ?, next_at = NULL WHERE id = ?"
    if origin is Status.PENDING:
        assert db.execute(change, (to.value, resolved_at, IDS[origin])).rowcount == 1
    else:
        with pytest.raises(sqlite3.IntegrityError, match=r"a resolved approval stays as it is"):
            db.execute(change, (to.value, resolved_at, IDS[origin]))


@pytest.mark.parametrize("status", ["PENDING", "done", ""])
def test_the_schema_knows_no_other_status(db: sqlite3.Connection, status: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"CHECK constraint failed"):
        db.execute(
            "UPDATE approvals SET status = ?, resolved_at = 1, next_at = NULL WHERE status = 'pending'", (status,)
        )


def test_there_is_one_counter(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO counter VALUES (2, '0')")


@pytest.mark.parametrize(
    ("index", "kind"), [("approvals_pending", ""), ("approvals_pending_kind", "AND kind = 'expense'")]
)
def test_what_is_pending_is_found_through_an_index_of_pending_rows_alone(
    db: sqlite3.Connection, index: str, kind: str
) -> None:
    query = f"SELECT id FROM approvals WHERE status = 'pending' AND expires_at > 1 {kind} AND id > '' ORDER BY id"
    plan = " ".join(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {query}"))
    assert f"INDEX {index} " in plan
    assert "TEMP B-TREE" not in plan
