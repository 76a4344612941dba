"""Full cycles: submit, approve, the flow completed; alone and with 16 at once, on both databases, beside the floor.

The floor makes the same promises in plain SQL (`floor/`). The two take turns, each on a new database, and the medians
count; the ratio is the median of the rounds' ratios. CPU is that of this process: with PostgreSQL, the server's comes
on top. Both databases sync to the disk, whose speed is in every figure.

Latencies are medians and 95th percentiles in milliseconds: from the call of submit until the approval is on the list of
another desk on the file, from the call of decide until the waiting call has it, and until the flow has completed.
"""

import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from statistics import median
from typing import Any

import anyio

from benchmarks.figures import ANA, UNLIMITED, Figure, database, lunch, spread
from benchmarks.floor import callers
from benchmarks.floor.desk import Transactions
from benchmarks.floor.postgres import postgres
from benchmarks.floor.sqlite import sqlite
from benchmarks.waiting import decide
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import serve
from mcp_hitl.store.postgres import PostgresStore
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.store import Store
from tests.postgres import Server, tools

CALLED = {1: "alone", 16: "16 at once"}
CYCLES_TIMED = 100
ROUNDS = 5
SECONDS = 2.0
"""Of each round, for the desk and for the floor."""
PATIENCE = 60.0


@dataclass(frozen=True)
class Places:
    """Two new databases of one kind: for the desk, and for the floor."""

    ours: Callable[[], Store]
    floor: Callable[[], AbstractContextManager[Transactions]]


NewPlaces = Callable[[], AbstractContextManager[Places]]


@dataclass(frozen=True)
class Taken:
    """What one cycle took, on the average of a round."""

    seconds: float
    cpu: float


@dataclass
class Latencies:
    """Seconds, one for each cycle."""

    visible: list[float] = field(default_factory=list[float])
    waiter: list[float] = field(default_factory=list[float])
    completed: list[float] = field(default_factory=list[float])


async def measure() -> list[Figure]:
    """Cycles on each database, and latencies on SQLite."""
    figures: list[Figure] = []
    for together in CALLED:
        figures += await _beside_floor("SQLite", _sqlite_places, together, "at least 0.6")
    if tools():
        server = Server()
        for together in CALLED:
            figures += await _beside_floor("PostgreSQL", partial(_postgres_places, server), together, "at least 0.5")
        server.remove()
    for together, called in CALLED.items():
        with _sqlite_places() as places:
            latencies = await _latencies(places.ours, together)
        figures += [
            *spread(f"submit → on the list, {called}", latencies.visible),
            *spread(f"decision → waiting call, {called}", latencies.waiter),
            *spread(f"approve → flow completed, {called}", latencies.completed),
        ]
    return figures


@contextmanager
def _sqlite_places() -> Generator[Places]:
    with database() as path:
        yield Places(lambda: SqliteStore(path), partial(sqlite, path.with_name("floor.db")))


@contextmanager
def _postgres_places(server: Server) -> Generator[Places]:
    ours, floor = (server.create(f"bench_{secrets.token_hex(8)}") for _ in range(2))
    yield Places(lambda: PostgresStore(ours), partial(postgres, floor))


async def _beside_floor(on: str, new: NewPlaces, together: int, aim: str) -> list[Figure]:
    rounds: list[tuple[Taken, Taken]] = []
    for _ in range(ROUNDS):
        with new() as places:
            rounds.append((await _ours(places.ours, together), await _floor(places.floor, together)))
    ours, floor = zip(*rounds, strict=True)
    ratio = median(b.seconds / a.seconds for a, b in rounds)
    where = f"{CALLED[together]}, {on}"
    return [
        *_told(f"full cycles, {where}", ours, "at least 400" if (on, together) == ("SQLite", 16) else ""),
        *_told(f"floor, {where}", floor),
        Figure(f"full cycles / floor, {where}", ratio, "ratio", aim if together > 1 else ""),
    ]


def _told(what: str, rounds: tuple[Taken, ...], aim: str = "") -> list[Figure]:
    return [
        Figure(what, 1 / median(one.seconds for one in rounds), "cycles/s", aim),
        Figure(f"{what}: CPU of a cycle", 1_000 * median(one.cpu for one in rounds), "ms"),
    ]


async def _ours(new: Callable[[], Store], together: int) -> Taken:
    async with _serving(new) as desk:
        return await _taken(partial(_cycle, desk), together)


async def _floor(database: Callable[[], AbstractContextManager[Transactions]], together: int) -> Taken:
    async with callers.Floor(database) as floor:
        return await _taken(lambda number: callers.cycle(floor, dinner(number)), together)


async def _taken(cycle: Callable[[int], Awaitable[None]], together: int) -> Taken:
    await cycle(0)
    numbers = count(1)
    started, cpu = time.perf_counter(), time.process_time()

    async def caller() -> None:
        while time.perf_counter() < started + SECONDS:
            await cycle(next(numbers))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for _ in range(together):
                tasks.start_soon(caller)
    cycles = next(numbers) - 1
    return Taken((time.perf_counter() - started) / cycles, (time.process_time() - cpu) / cycles)


def dinner(number: int) -> dict[str, Any]:
    """An expense of 200 bytes."""
    return lunch(number + 1) | {"description": "Dinner with the people who will use it. " * 4}


@asynccontextmanager
async def _serving(new: Callable[[], Store]) -> AsyncGenerator[Desk]:
    store = new()
    async with serve(Desk(store, effects=EFFECTS, rulebook=UNLIMITED)) as desk:
        yield desk
    await store.close()


async def _cycle(desk: Desk, number: int) -> None:
    approval = await desk.approvals.submit(ANA, "expense", dinner(number))
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


async def _latencies(new: Callable[[], Store], together: int) -> Latencies:
    taken = Latencies()
    other = new()
    elsewhere = Desk(other, effects=EFFECTS, rulebook=UNLIMITED)
    async with _serving(new) as desk:
        numbers = iter(range(CYCLES_TIMED))

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
    approval = await desk.approvals.submit(ANA, "expense", dinner(number))
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
