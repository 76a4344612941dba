"""A worker asks the database nothing while nobody commits and nothing is due."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from desk_samples import AGENT, Clock, WatchedStore

from mcp_hitl.desk import Desk
from mcp_hitl.engine.older_copies import OlderCopies
from mcp_hitl.process.workers import runner_of, timers_of
from mcp_hitl.store.sqlite import watch

pytestmark = pytest.mark.anyio
WORKERS = ["timers", "flows", "copies"]
LOOKS = {"timers": "sweeps.due", "flows": "flows.runnable", "copies": "log.lost"}


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files were changed long ago."""
    now = watch.time.time_ns
    monkeypatch.setattr(watch.time, "time_ns", lambda: now() + 10_000_000_000)


class Working:
    """One worker of a desk, and how often it has looked."""

    def __init__(self, desk: Desk, store: WatchedStore, name: str) -> None:
        """`name` is one of `WORKERS`."""
        makes = {"timers": timers_of, "flows": runner_of, "copies": OlderCopies}
        self._worker = makes[name](desk)
        self._store = store
        self._look = LOOKS[name]

    async def looks(self, turns: int = 5) -> int:
        """Let it have its turns; how often it has looked in them."""
        before = self._store.answered[self._look]
        for _ in range(turns):
            await self._worker.turn()
        return self._store.answered[self._look] - before


@pytest.mark.parametrize("name", WORKERS)
async def test_a_worker_looks_once_and_again_after_each_commit(
    desk: Desk, elsewhere: Desk, store: WatchedStore, name: str
) -> None:
    working = Working(desk, store, name)
    assert await working.looks() == 1
    for whose in (elsewhere, desk):
        await whose.approvals.submit(AGENT, "action", {"whose": whose is desk})
        assert await working.looks() == 1


async def test_timers_look_again_when_something_is_due_by_the_clock(
    desk: Desk, store: WatchedStore, clock: Clock
) -> None:
    opened = await desk.approvals.submit(AGENT, "action", {"n": 1})
    working = Working(desk, store, "timers")
    assert await working.looks() == 1
    clock.advance(opened.expires_at - clock() - timedelta(milliseconds=1))
    assert await working.looks() == 0
    clock.advance(timedelta(milliseconds=1))
    assert await working.looks() >= 1
    assert (await desk.approvals.get(AGENT, opened.id)).status == "expired"


@pytest.mark.parametrize("name", WORKERS)
async def test_a_clock_that_is_set_back_ends_the_rest(desk: Desk, store: WatchedStore, clock: Clock, name: str) -> None:
    working = Working(desk, store, name)
    assert await working.looks() == 1
    clock.advance(timedelta(hours=-1))
    assert await working.looks() == 1


async def test_t43_an_older_copy_written_over_the_file_ends_the_rest(
    desk: Desk, store: WatchedStore, tmp_path: Path
) -> None:
    file = tmp_path / "hitl.db"
    shutil.copyfile(file, tmp_path / "older")
    await desk.approvals.submit(AGENT, "action", {"n": 1})
    working = Working(desk, store, "copies")
    assert await working.looks() == 1
    shutil.copyfile(tmp_path / "older", file)
    assert await working.looks() >= 1
