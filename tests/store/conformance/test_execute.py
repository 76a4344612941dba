"""Statements on tables of their own: what every store promises those who run them."""

import pytest
from store_samples import numbered

from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.store.statement import Statement
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio


async def test_a_flows_own_table_is_written_in_the_same_transaction(store: Store) -> None:
    await store.write(lambda tx: tx.execute("CREATE TABLE sent (address TEXT)"))

    def work(tx: Transaction) -> None:
        tx.execute("INSERT INTO sent VALUES (?)", ("bo@example.com",))
        tx.approvals.insert(numbered(1))
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        await store.write(work)
    assert await store.write(lambda tx: tx.execute("SELECT * FROM sent")) == []
    await store.write(lambda tx: tx.execute("INSERT INTO sent VALUES (?)", ("bo@example.com",)))
    assert await store.write(lambda tx: tx.execute("SELECT * FROM sent")) == [("bo@example.com",)]


async def test_a_read_reads_a_flows_own_table_and_cannot_write_it(store: Store) -> None:
    await store.write(lambda tx: tx.execute("CREATE TABLE sent (address TEXT)"))
    for ask in (store.read, store.survey):
        with pytest.raises(Exception):  # noqa: B017 # each store has its own way to refuse
            await ask(lambda view: view.execute("INSERT INTO sent VALUES ('bo@example.com')"))
        assert await ask(lambda view: view.execute("SELECT * FROM sent")) == []


async def test_a_statement_can_have_the_words_of_each_database(store: Store) -> None:
    whose = Statement(sqlite="SELECT 'sqlite', ?", postgres="SELECT 'postgres', ?")
    [(database, value)] = await store.read(lambda view: view.execute(whose, (1,)))
    assert type(store).__name__.lower().startswith(str(database)) and value == 1
    control = Statement(sqlite="COMMIT", postgres="COMMIT")
    with pytest.raises(Invalid, match="COMMIT"):
        await store.write(lambda tx: tx.execute(control))


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "  commit;",
        "END TRANSACTION",
        "ROLLBACK",
        "ROLLBACK TO job",
        "SAVEPOINT mine",
        "RELEASE job",
        "BEGIN IMMEDIATE",
        "; COMMIT",
        "-- a note\n/* and\nanother */\ufeffCOMMIT",
    ],
)
async def test_an_action_neither_begins_nor_ends_a_transaction(store: Store, statement: str) -> None:
    """It would keep a part of what it did, and be run again for the rest."""
    await store.write(lambda tx: tx.execute("CREATE TABLE sent (address TEXT)"))

    def work(tx: Transaction) -> None:
        tx.execute("INSERT INTO sent VALUES (?)", ("bo@example.com",))
        tx.execute(statement)

    with pytest.raises(Invalid, match=r"^An action cannot use .*: it already runs inside a transaction"):
        await store.write(work)
    assert await store.write(lambda tx: tx.execute("SELECT * FROM sent")) == []


@pytest.mark.parametrize(
    "statement", ["SELECT 1", "-- COMMIT this\nSELECT 1", "/* */ SELECT /* COMMIT */ 1", "\nSELECT 1"]
)
async def test_what_only_speaks_of_transactions_is_run(store: Store, statement: str) -> None:
    assert await store.write(lambda tx: tx.execute(statement)) == [(1,)]
