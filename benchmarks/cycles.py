"""Full cycles: submit, approve, the flow completed; alone and with 16 at once, beside the floor.

The floor is the very statements that such cycles ran, in the same order and the same transactions, by hand on a bare
connection in one thread. They are recorded in a run of their own, so that recording costs no figure anything; then
cycles and floor take turns, each on a new file, and the medians count. Latencies are medians and 95th percentiles in
milliseconds: from the call of submit until the approval is on the list of another desk on the file, from the call of
decide until the waiting call has it, and until the flow has completed.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import anyio

from benchmarks.figures import ANA, UNLIMITED, Figure, database, lunch, spread
from benchmarks.recording import recorded, seconds_by_hand
from benchmarks.waiting import decide
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import serve
from mcp_hitl.store.sqlite import SqliteStore

CYCLES = 400
ROUNDS = 3
PATIENCE = 60.0


@dataclass
class Latencies:
    """Seconds, one for each cycle."""

    visible: list[float] = field(default_factory=list[float])
    waiter: list[float] = field(default_factory=list[float])
    completed: list[float] = field(default_factory=list[float])


async def measure() -> list[Figure]:
    """Alone and 16 at once."""
    figures: list[Figure] = []
    for together, called in ((1, "alone"), (16, "16 at once")):
        with database() as path, recorded() as transactions:
            await _cycles(path, together)
        taken: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            with database() as path:
                seconds = await _cycles(path, together)
                taken.append((seconds, await seconds_by_hand(transactions, path.with_name("floor.db"))))
        seconds, floor = (median(times) for times in zip(*taken, strict=True))
        aims = ("at least 400", "at least 0.5") if together > 1 else ("", "")
        figures += [
            Figure(f"full cycles, {called}", CYCLES / seconds, "cycles/s", aims[0]),
            Figure(f"the same statements by hand, {called}", CYCLES / floor, "cycles/s"),
            Figure(f"full cycles / by hand, {called}", median(b / a for a, b in taken), "ratio", aims[1]),
        ]
        with database() as path:
            latencies = await _latencies(path, together)
        figures += [
            *spread(f"submit → on the list, {called}", latencies.visible),
            *spread(f"decision → waiting call, {called}", latencies.waiter),
            *spread(f"approve → flow completed, {called}", latencies.completed),
        ]
    return figures


@asynccontextmanager
async def _serving(path: Path) -> AsyncGenerator[Desk]:
    store = SqliteStore(path)
    async with serve(Desk(store, effects=EFFECTS, rulebook=UNLIMITED)) as desk:
        yield desk
    await store.close()


async def _cycles(path: Path, together: int) -> float:
    async with _serving(path) as desk:
        await _cycle(desk, -1)
        numbers = iter(range(CYCLES))

        async def caller() -> None:
            for number in numbers:
                await _cycle(desk, number)

        started = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(together):
                tasks.start_soon(caller)
        return time.perf_counter() - started


async def _cycle(desk: Desk, number: int) -> None:
    approval = await desk.approvals.submit(ANA, "expense", lunch(number + 1))
    async with _outcome(desk, approval.id) as completed:
        await decide(desk, approval)
        await completed()


@asynccontextmanager
async def _outcome(desk: Desk, approval_id: str) -> AsyncGenerator["Completed"]:
    waiting = Completed(desk, approval_id)
    async with desk.feed.listen(approval_id, waiting.stir, events=(Event.SUCCEEDED,)):
        yield waiting


class Completed:
    """Waits until the flow of an approval has completed."""

    def __init__(self, desk: Desk, approval_id: str) -> None:
        self._desk, self._id, self._stirred = desk, approval_id, anyio.Event()

    def stir(self, _: str) -> None:
        self._stirred.set()

    async def __call__(self) -> None:
        with anyio.fail_after(PATIENCE):
            while True:
                await self._stirred.wait()
                self._stirred = anyio.Event()
                if (await self._desk.approvals.get(ANA, self._id)).outcome.state is OutcomeState.SUCCEEDED:
                    return


async def _latencies(path: Path, together: int) -> Latencies:
    taken = Latencies()
    other = SqliteStore(path)
    elsewhere = Desk(other, effects=EFFECTS, rulebook=UNLIMITED)
    async with _serving(path) as desk:
        numbers = iter(range(CYCLES // 4))

        async def caller() -> None:
            for number in numbers:
                await _timed(desk, elsewhere, number, taken)

        async with anyio.create_task_group() as tasks:
            for _ in range(together):
                tasks.start_soon(caller)
    await other.close()
    return taken


async def _timed(desk: Desk, elsewhere: Desk, number: int, taken: Latencies) -> None:
    started = time.perf_counter()
    approval = await desk.approvals.submit(ANA, "expense", lunch(number))
    while approval.id not in {one.id for one in (await elsewhere.search.pending(ANA, limit=100)).approvals}:
        pass
    taken.visible.append(time.perf_counter() - started)
    async with _outcome(desk, approval.id) as completed, anyio.create_task_group() as tasks:
        begun = 0.0

        async def wait() -> None:
            await desk.approvals.wait(ANA, approval.id, seconds=PATIENCE)
            taken.waiter.append(time.perf_counter() - begun)

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked() if number == 0 else await anyio.lowlevel.checkpoint()
        begun = time.perf_counter()
        await decide(desk, approval)
        await completed()
        taken.completed.append(time.perf_counter() - begun)
