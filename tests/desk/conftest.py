"""A desk on a real database, with a clock that the test sets."""

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from computers import Computer
from databases import new_database
from desk_samples import LONG, RULEBOOK, Clock, WatchedStore

from mcp_hitl.config.location import Location
from mcp_hitl.desk import Desk
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.opening import open_store


@pytest.fixture
def clock() -> Clock:
    """The time, which only the test moves."""
    return Clock()


@pytest.fixture
async def store(database: Location) -> AsyncGenerator[WatchedStore]:
    """The database, which tells what is asked of it."""
    store = WatchedStore(open_store(database))
    yield store
    await store.close()


@pytest.fixture
async def desk(store: WatchedStore, clock: Clock) -> Desk:
    """The desk of one process."""
    return Desk(store, effects=EFFECTS, rulebook=RULEBOOK, clock=clock)


@pytest.fixture
async def served(desk: Desk) -> AsyncGenerator[Desk]:
    """The desk, following its feed."""
    with anyio.fail_after(LONG / 2):
        async with desk.open():
            yield desk


@pytest.fixture
def under(store: WatchedStore, clock: Clock) -> Callable[[Rulebook], Desk]:
    """A desk on the same database, under another policy."""
    return lambda rulebook: Desk(store, effects=EFFECTS, rulebook=rulebook, clock=clock)


@pytest.fixture
async def elsewhere(desk: Desk, database: Location, clock: Clock) -> AsyncGenerator[Desk]:
    """The desk of another process on the same database."""
    store = open_store(database)
    yield Desk(store, effects=EFFECTS, rulebook=RULEBOOK, clock=clock)
    await store.close()


@pytest.fixture
async def foreign(sort: str, tmp_path: Path, clock: Clock) -> AsyncGenerator[Desk]:
    """The desk of another database, where other approvals lie."""
    clock.advance(timedelta(milliseconds=1))
    with new_database(sort, tmp_path, "foreign") as database:
        store = open_store(database)
        yield Desk(store, effects=EFFECTS, rulebook=RULEBOOK, clock=clock)
        await store.close()


@pytest.fixture
async def computer(database: Location) -> AsyncGenerator[Computer]:
    """A computer with a new database."""
    computer = Computer(open_store(database))
    yield computer
    await computer.store.close()
