"""The stores that the conformance suite runs on: one line for each."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import postgres
import pytest

from mcp_hitl.store.postgres import PostgresStore
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.store import Store

BACKENDS: dict[str, Callable[[Path], Store]] = {
    "sqlite": lambda folder: SqliteStore(folder / "hitl.db"),
    "postgres": lambda folder: PostgresStore(postgres.database_of(folder)),
}


@pytest.fixture(params=BACKENDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Open the test's own database; every call opens the same one."""
    return lambda: BACKENDS[request.param](tmp_path)


@pytest.fixture
async def store(open_store: Callable[[], Store]) -> AsyncGenerator[Store]:
    """The test's own database, open."""
    store = open_store()
    yield store
    await store.close()


@pytest.fixture
async def other(open_store: Callable[[], Store], store: Store) -> AsyncGenerator[Store]:
    """The same database, opened a second time."""
    other = open_store()
    yield other
    await other.close()


@pytest.fixture
async def foreign(request: pytest.FixtureRequest, open_store: object, tmp_path: Path) -> AsyncGenerator[Store]:
    """Another database of the same sort."""
    (tmp_path / "foreign").mkdir()
    foreign = BACKENDS[request.node.callspec.params["open_store"]](tmp_path / "foreign")
    yield foreign
    await foreign.close()
