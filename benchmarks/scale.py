"""Beside a long history: what each question takes at two sizes, on each database that is here.

Calls of the desk are medians of a few rounds, in which the two sizes take turns. Commands are processes of their own,
with their CPU time and the most memory that they had. The histories are kept in a folder under the temporary one for
the next run. `SCALE` is how many are decided in the larger one: 20,000 unless the environment says otherwise, which
takes a minute; 1,000,000 takes most of an hour the first time.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import anyio

from benchmarks import kept_server
from benchmarks.figures import ANA, Figure
from benchmarks.histories import on_postgres, on_sqlite
from benchmarks.models import LASTING
from mcp_hitl.config.location import Location
from mcp_hitl.desk import Desk
from mcp_hitl.desk.doctor_facts import examine
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.engine.timers import Timers
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.opening import open_store

SMALL, LARGE = 2_000, int(os.environ.get("SCALE") or 20_000)
MOST_PENDING = 10_000
ROUNDS = 7
FOLDER = Path(tempfile.gettempdir()) / "mcp-hitl-histories"
Question = Callable[["Asking"], Awaitable[Any]]


class Asking:
    """A desk on one history, and what its questions need."""

    def __init__(self, desk: Desk) -> None:
        """Ask `desk`."""
        self.desk = desk
        self.asked: list[Approval] = []
        self.number = time.time_ns()

    async def submit(self) -> None:
        """Ask for something new."""
        self.number += 1
        self.asked.append(await self.desk.approvals.submit(ANA, "action", {"number": str(self.number)}))

    async def decide(self) -> None:
        """Approve what was asked for last."""
        shown = Shown.of(self.asked.pop())
        await self.desk.decisions.decide(ANA, shown, Verdict.APPROVE, assurance=Assurance.LOCAL)

    async def middle(self) -> None:
        """Turn to a page of the history half-way back."""
        half = approval_id(self.desk.clock() - timedelta(days=200), 0)
        await self.desk.search.history(ANA, cursor=half)

    async def page(self) -> None:
        """Read what the page of one approval shows."""
        desk = self.desk
        one = (await desk.search.pending(ANA, limit=1)).approvals[0]
        await desk.approvals.trail(ANA, one.id)
        await desk.approvals.earlier(ANA, one)
        await desk.search.next_pending(one.id)


QUESTIONS: dict[str, Question] = {
    "submit": Asking.submit,
    "decide": Asking.decide,
    "first page of what is pending": lambda of: of.desk.search.pending(ANA),
    "search in what is pending": lambda of: of.desk.search.pending(ANA, text="service 9"),
    "first page of the history": lambda of: of.desk.search.history(ANA),
    "page in its middle": Asking.middle,
    "search in the history": lambda of: of.desk.search.history(ANA, text="service 9 (rejected)"),
    "page of one approval": Asking.page,
    "numbers of 7 days": lambda of: of.desk.search.numbers(days=7),
    "facts for doctor": lambda of: of.desk.store.survey(examine),
    "turn of the timers": lambda of: Timers(of.desk.store, of.desk.clock).turn(),
    "turn of the eraser": lambda of: of.desk.evidence.erase(None, older_than=timedelta(days=1_000)),
}
COMMANDS = {
    "`pending`": ("pending",),
    "`doctor`": ("doctor",),
    "`audit verify`": ("audit", "verify"),
    "`audit export`": ("audit", "export"),
}

_RUNNER = """
import os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = os.wait4(process.pid, 0)[2]
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""A small process starts the command: what it held at the start counts as the command's."""


def measure() -> list[Figure]:
    """Each question and command on each database, small beside large."""
    FOLDER.mkdir(exist_ok=True)
    figures: list[Figure] = []
    for name, histories in (("SQLite", _files), ("PostgreSQL", _databases)):
        if name == "PostgreSQL" and not kept_server.is_installed():
            continue
        with histories() as places:
            figures += anyio.run(_questions, name, places)
            figures += _commands(name, places)
    return figures


async def _questions(name: str, places: list[str]) -> list[Figure]:
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        askings: list[Asking] = []
        for place in places:
            store = open_store(Location(place))
            stack.push_async_callback(store.close)
            askings.append(Asking(Desk(store, effects=EFFECTS, rulebook=LASTING)))
        for what, ask in QUESTIONS.items():
            taken: tuple[list[float], list[float]] = ([], [])
            for _ in range(ROUNDS):
                for asking, times in zip(askings, taken, strict=True):
                    started = time.perf_counter()
                    await ask(asking)
                    times.append(1_000 * (time.perf_counter() - started))
            small, large = map(median, taken)
            figures += [
                Figure(f"{what}, {name}, {SMALL:,} decided", small, "ms"),
                Figure(f"{what}, {name}, {LARGE:,} decided", large, "ms"),
            ]
    return figures


def _commands(name: str, places: list[str]) -> list[Figure]:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for what, words in COMMANDS.items():
            for size, place in zip((SMALL, LARGE), places, strict=True):
                into = (str(Path(folder) / str(size)),) if "export" in words else ()
                wall, cpu, most = _run(place, *words, *into)
                called = f"{what}, {name}, {size:,} decided"
                figures.append(Figure(called, wall, "s"))
                if "audit" in words:
                    figures += [Figure(f"{called}, CPU", cpu, "s"), Figure(f"{called}, memory", most, "MB")]
    return figures


def _run(place: str, *words: str) -> tuple[float, float, float]:
    """Return the seconds, the CPU seconds and the most megabytes of a command."""
    command = [sys.executable, "-m", "mcp_hitl", "--db", place, *words]
    told = subprocess.run([sys.executable, "-c", _RUNNER, *command], capture_output=True, check=True, text=True)
    wall, cpu, most = map(float, told.stdout.split())
    return wall, cpu, most / 1_024


def _pending(size: int) -> int:
    return min(size // 10, MOST_PENDING)


@contextmanager
def _files() -> Generator[list[str]]:
    paths = [FOLDER / f"{size}.db" for size in (SMALL, LARGE)]
    for path, size in zip(paths, (SMALL, LARGE), strict=True):
        on_sqlite(path, size, _pending(size))
    yield [str(path) for path in paths]


@contextmanager
def _databases() -> Generator[list[str]]:
    with kept_server.server(FOLDER / "postgres") as address:
        for size in (SMALL, LARGE):
            if not kept_server.has(address, f"decided_{size}"):
                kept_server.create(address, "draft")
                on_postgres(address.format("draft"), size, _pending(size))
                kept_server.rename(address, "draft", f"decided_{size}")
        yield [address.format(f"decided_{size}") for size in (SMALL, LARGE)]
