"""What the domain promises stands in PostgreSQL's schema once more, and `verify` notices when it does not."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import postgres
import psycopg
import pytest
from samples import START, a_decision, an_approval
from store_samples import insert, numbered

from mcp_hitl.config import Location
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.evidence.chain import Entry
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store import rows
from mcp_hitl.store.opening import open_store
from mcp_hitl.store.postgres import PostgresStore
from mcp_hitl.store.transaction import Transaction

IDS = {status: approval_id(START, number) for number, status in enumerate(Status)}
KEPT = ("approvals", "decisions", "audit")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with an approval in each status, one decision and two entries."""

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
        store = PostgresStore(url)
        await store.write(fill)
        await store.close()

    url = postgres.database_of(tmp_path)
    anyio.run(make)
    return url


@pytest.fixture
def db(url: str) -> Generator[psycopg.Connection[Any]]:
    """A plain connection of the role that owns everything."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SET search_path = mcp_hitl")
        yield db


def everything(db: psycopg.Connection[Any]) -> list[object]:
    return [db.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3".encode()).fetchall() for table in KEPT]


_ORPHAN = rows.DECISION.replace("approval", "'apr_none'")
ATTACKS = [
    "UPDATE decisions SET verdict = 'reject'",
    "UPDATE decisions SET comment = 'swapped'",
    "DELETE FROM decisions",
    "TRUNCATE decisions",
    "UPDATE audit SET actor = 'os:bo'",
    "UPDATE audit SET seq = seq + 10",
    "DELETE FROM audit",
    "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
    "TRUNCATE audit",
    "INSERT INTO audit SELECT * FROM audit ON CONFLICT (seq) DO UPDATE SET actor = 'os:bo'",
    "INSERT INTO audit SELECT * FROM audit",
    "MERGE INTO audit USING (SELECT 1 AS seq) AS one ON audit.seq = one.seq WHEN MATCHED THEN DELETE",
    "DELETE FROM approvals",
    "DELETE FROM approvals WHERE status = 'pending'",
    "TRUNCATE approvals CASCADE",
    "TRUNCATE approvals, decisions, edits, progress, flows, journal, expenses",
    "UPDATE approvals SET payload = '{}' WHERE status = 'pending'",
    "UPDATE approvals SET digest = 'sha256:0' WHERE status = 'pending'",
    "UPDATE approvals SET payload = '{}', revision = revision + 1 WHERE status = 'approved'",
    "UPDATE approvals SET status = 'approved', next_at = NULL WHERE status = 'pending'",  # without its instant
    "UPDATE approvals SET status = 'approved', resolved_at = 1 WHERE status = 'pending'",  # with time still to pass
    "UPDATE approvals SET resolved_at = 1 WHERE status = 'pending'",
    "UPDATE approvals SET next_at = NULL WHERE status = 'pending'",  # time would forget it
    "UPDATE approvals SET revision = 0",
    "UPDATE approvals SET status = 'done', resolved_at = 1, next_at = NULL WHERE status = 'pending'",
    "UPDATE approvals SET status = 'rejected' WHERE status = 'approved'",
    "UPDATE approvals SET status = 'pending', resolved_at = NULL, next_at = 1 WHERE status = 'approved'",
    f"INSERT INTO decisions ({rows.DECISION}) SELECT {_ORPHAN} FROM decisions",
    "INSERT INTO counter VALUES (2, '0')",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_schema_refuses(db: psycopg.Connection[Any], attack: str) -> None:
    before = everything(db)
    with pytest.raises((psycopg.IntegrityError, psycopg.errors.UniqueViolation, psycopg.errors.RaiseException)):
        db.execute(attack.encode())
    assert everything(db) == before


def fault(url: str) -> str | None:
    async def ask() -> str | None:
        store = PostgresStore(url)
        found = await store.survey(lambda view: view.facts.fault())
        await store.close()
        return found

    return anyio.run(ask)


TAMPERED = {
    "DROP TRIGGER audit_fixed ON audit": "lacks the trigger “audit_fixed”",
    "ALTER TABLE audit DISABLE TRIGGER audit_kept": "lacks the trigger “audit_kept”",
    "ALTER TABLE decisions DISABLE TRIGGER ALL": "lacks the trigger “decisions_",
    "DROP TRIGGER audit_kept ON audit; CREATE TRIGGER audit_kept BEFORE DELETE ON audit FOR EACH ROW "
    "WHEN (OLD.seq > 5) EXECUTE FUNCTION refuse('audit entries are not deleted')": "lacks the trigger “audit_kept”",
    "DROP TRIGGER approvals_terminal ON approvals; CREATE TRIGGER approvals_terminal BEFORE UPDATE OF status "
    "ON approvals FOR EACH ROW WHEN (OLD.status = 'nothing') "
    "EXECUTE FUNCTION refuse('a resolved approval stays as it is')": "lacks the trigger “approvals_terminal”",
    "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW;END'": "“refuse” is not",
    "CREATE TRIGGER mine BEFORE INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION refuse('')": "has the trigger “mine”",
    "ALTER TABLE decisions DROP CONSTRAINT decisions_verdict_check": "“decisions” has not the constraints",
    "ALTER TABLE audit DROP CONSTRAINT audit_pkey": "“audit” has not the constraints",
    "DROP INDEX approvals_keyed": "lacks the index “approvals_keyed”",
    "UPDATE open_requests SET number = 0": "the number of open requests",
}


def test_a_database_as_it_was_made_is_sound(url: str) -> None:
    assert fault(url) is None


def test_a_flows_own_table_is_none_of_our_business(url: str, db: psycopg.Connection[Any]) -> None:
    db.execute("CREATE TABLE sent (address TEXT PRIMARY KEY CHECK (address <> ''))")
    assert fault(url) is None


@pytest.mark.parametrize("change", TAMPERED)
def test_t35_a_schema_that_was_changed_is_told(url: str, db: psycopg.Connection[Any], change: str) -> None:
    for statement in change.split("; "):
        db.execute(statement.encode())
    assert TAMPERED[change] in (fault(url) or "nothing")


RIGHTS = """
CREATE ROLE {role} LOGIN;
GRANT USAGE ON SCHEMA mcp_hitl TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mcp_hitl TO {role};
REVOKE UPDATE, DELETE ON mcp_hitl.audit, mcp_hitl.decisions FROM {role};
REVOKE DELETE ON mcp_hitl.approvals FROM {role};
REVOKE INSERT, UPDATE, DELETE ON mcp_hitl.migrations FROM {role};
"""


def test_a_role_that_may_not_change_the_log_is_enough_to_serve(url: str, db: psycopg.Connection[Any]) -> None:
    role = f"serves_{url.split('/')[3].split('?')[0]}"
    db.execute(RIGHTS.format(role=role).encode())
    theirs = url.replace("hitl@", f"{role}@")

    async def serve() -> None:
        store = PostgresStore(theirs)
        await insert(store, numbered(9))
        await store.write(lambda tx: tx.log.append(an_opening()))
        assert store.hold("inbox")
        assert await store.survey(lambda view: view.facts.fault()) is None
        await store.close()

    anyio.run(serve)
    with psycopg.connect(theirs, autocommit=True) as poor:
        for attack in ("ALTER TABLE mcp_hitl.audit DISABLE TRIGGER ALL", "DELETE FROM mcp_hitl.audit"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                poor.execute(attack.encode())
    db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def an_opening() -> Entry:
    return Entry(approval=numbered(9).id, event=Event.OPENED, revision=1, actor="os:ana", at=START)


def test_a_role_that_may_not_create_the_schema_is_told_who_may() -> None:
    url = postgres.empty_database()
    role = f"poor_{url.split('/')[3].split('?')[0]}"
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"CREATE ROLE {role} LOGIN".encode())
        with pytest.raises(Unavailable, match="Start this program once with the role that owns it"):
            open_store(Location(url.replace("hitl@", f"{role}@")))
        db.execute(f"DROP ROLE {role}".encode())


def test_a_newer_schema_is_refused_even_while_it_is_open(url: str, db: psycopg.Connection[Any]) -> None:
    async def use() -> None:
        store = PostgresStore(url)
        db.execute("INSERT INTO migrations VALUES (1000)")
        for ask in (insert(store, numbered(9)), store.read(lambda view: view.log.head())):
            with pytest.raises(Unavailable, match="belongs to a newer version of mcp-hitl"):
                await ask
        await store.close()

    anyio.run(use)


def test_an_older_server_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr("mcp_hitl.store.postgres.connection.OLDEST", 990_000)
    with pytest.raises(Unavailable, match=r"The server runs PostgreSQL \d+. It must be 14 or newer"):
        PostgresStore(url)


def test_another_database_in_its_place_is_refused(url: str, db: psycopg.Connection[Any]) -> None:
    async def use() -> None:
        store = PostgresStore(url)
        await store.read(lambda view: view.log.head())
        db.execute("UPDATE facts SET value = 'another' WHERE name = 'database'")
        with pytest.raises(Unavailable, match="Another database is now in the place of the one that was open"):
            await insert(store, numbered(9))
        await store.close()

    anyio.run(use)


def test_two_processes_that_open_an_empty_database_make_one_schema() -> None:
    url = postgres.empty_database()

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(anyio.to_thread.run_sync, open_it)

    def open_it() -> None:
        store = PostgresStore(url)
        anyio.run(store.close)

    anyio.run(both)
    assert fault(url) is None
