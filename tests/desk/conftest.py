"""A desk on a real database, with a clock that the test sets."""

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from computers import Computer
from desk_samples import LONG, RULEBOOK, Clock, WatchedStore

from mcp_hitl.desk import Desk
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore


@pytest.fixture
def clock() -> Clock:
    """The time, which only the test moves."""
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[WatchedStore]:
    """The database, which tells what is asked of it."""
    store = WatchedStore(SqliteStore(tmp_path / "hitl.db"))
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
async def elsewhere(desk: Desk, tmp_path: Path, clock: Clock) -> AsyncGenerator[Desk]:
    """The desk of another process on the same file."""
    store = SqliteStore(tmp_path / "hitl.db")
    yield Desk(store, effects=EFFECTS, rulebook=RULEBOOK, clock=clock)
    await store.close()


@pytest.fixture
async def foreign(tmp_path: Path, clock: Clock) -> AsyncGenerator[Desk]:
    """The desk of another database, where other approvals lie."""
    clock.advance(timedelta(milliseconds=1))
    store = SqliteStore(tmp_path / "foreign.db")
    yield Desk(store, effects=EFFECTS, rulebook=RULEBOOK, clock=clock)
    await store.close()


@pytest.fixture
async def computer(tmp_path: Path) -> AsyncGenerator[Computer]:
    """A computer with a new database."""
    computer = Computer(tmp_path / "hitl.db")
    yield computer
    await computer.store.close()
