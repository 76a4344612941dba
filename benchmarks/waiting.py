"""A thousand callers who wait in one server process: what they cost, and how soon they hear.

The server is a real `mcp-hitl` on stdio; its client makes a thousand calls of wait-for-approval at once. One decision
after the other is made by another process (this one, through a desk on the same file) and timed from the moment its
maker has heard of the commit until the waiting call has returned; in the process itself, from desk to waiting desk.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from benchmarks.figures import ANA, UNLIMITED, Figure, database, lunch
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore

WAITERS = 1_000
DECISIONS = 50
IDLE_SECONDS = 20.0
"""Longer than the 15 s after which a waiting call reports progress, so that this work is in the figure."""


async def measure() -> list[Figure]:
    """The three figures."""
    figures = [await _in_process()]
    with database() as path:
        figures += await _across_processes(path)
    return figures


async def _in_process() -> Figure:
    seconds: list[float] = []
    with database() as path:
        store = SqliteStore(path)
        async with Desk(store, effects=EFFECTS, rulebook=UNLIMITED).open() as desk:
            waiting = await _submitted(desk)
            returned = {approval.id: asyncio.Future[float]() for approval in waiting}

            async def wait(approval: Approval) -> None:
                await desk.approvals.wait(ANA, approval.id, seconds=300)
                returned[approval.id].set_result(time.perf_counter())

            async with anyio.create_task_group() as tasks:
                for approval in waiting:
                    tasks.start_soon(wait, approval)
                await anyio.sleep(1)
                seconds += [await _decided(desk, approval, returned) for approval in waiting[:DECISIONS]]
                tasks.cancel_scope.cancel()
        await store.close()
    return Figure(f"decision -> waiter, in the process ({WAITERS:,} wait)", median(seconds) * 1_000, "ms", "< 20")


async def _across_processes(path: Path) -> list[Figure]:
    server = StdioServerParameters(command=sys.executable, args=["-m", "mcp_hitl", "--db", str(path)])
    figures: list[Figure] = []
    store = SqliteStore(path)
    desk = Desk(store, effects=EFFECTS, rulebook=UNLIMITED)
    waiting = await _submitted(desk)
    returned = {approval.id: asyncio.Future[float]() for approval in waiting}
    async with Client(server, mode="2026-07-28") as client, anyio.create_task_group() as tasks:

        async def wait(approval: Approval) -> None:
            await client.call_tool("wait-for-approval", {"id": approval.id, "timeout_seconds": 300})
            returned[approval.id].set_result(time.perf_counter())

        for approval in waiting:
            tasks.start_soon(wait, approval)
        await client.list_tools()
        await anyio.sleep(2)
        if sys.platform == "linux":
            used = _cpu_of_children()
            await anyio.sleep(IDLE_SECONDS)
            share = (_cpu_of_children() - used) / IDLE_SECONDS
            figures.append(Figure(f"idle server ({WAITERS:,} wait)", share * 100, "% of core", "< 3"))
        seconds = [await _decided(desk, approval, returned) for approval in waiting[:DECISIONS]]
        what = f"decision -> waiter, from another process ({WAITERS:,} wait)"
        figures.append(Figure(what, median(seconds) * 1_000, "ms", "< 150"))
        tasks.cancel_scope.cancel()
    await store.close()
    return figures


async def _submitted(desk: Desk) -> list[Approval]:
    return await asyncio.gather(*(desk.approvals.submit(ANA, "expense", lunch(number)) for number in range(WAITERS)))


async def _decided(desk: Desk, approval: Approval, returned: dict[str, asyncio.Future[float]]) -> float:
    """Decide, and return the seconds until the waiter was told."""
    await decide(desk, approval)
    decided = time.perf_counter()
    async with asyncio.timeout(10):
        return max(0.0, await returned[approval.id] - decided)


async def decide(desk: Desk, approval: Approval) -> Approval:
    """Approve what was shown."""
    return await desk.decisions.decide(ANA, Shown.of(approval), Verdict.APPROVE, assurance=Assurance.LOCAL)


def _cpu_of_children() -> float:
    """The CPU seconds that the children of this process have used."""
    ticks = 0
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            fields: list[Any] = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
