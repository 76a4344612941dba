"""What ten idle servers cost, and how soon a decision that another process makes arrives (SQLite).

The servers are real `mcp-hitl` on stdio. A process of its own decides; the times are from the moment its maker has
heard of the commit until the waiter in this process has it, and until the flow here has completed.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from benchmarks.figures import ANA, UNLIMITED, Figure, database, lunch, spread
from benchmarks.waiting import decide
from mcp_hitl.desk import Desk
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import serve
from mcp_hitl.store.sqlite import SqliteStore

SERVERS = 10
SETTLING_SECONDS = 5.0
IDLE_SECONDS = 60.0
DECISIONS = 50
_HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    },
}


async def measure() -> list[Figure]:
    """The figures of both."""
    figures: list[Figure] = []
    if sys.platform == "linux":
        with database() as path:
            figures.append(await anyio.to_thread.run_sync(_idle, path))
    with database() as path:
        figures += await _decided_elsewhere(path)
    return figures


def _idle(path: Path) -> Figure:
    with ExitStack() as ends:
        servers = [ends.enter_context(_server(path)) for _ in range(SERVERS)]
        time.sleep(SETTLING_SECONDS)
        before = sum(_cpu(server.pid) for server in servers)
        time.sleep(IDLE_SECONDS)
        share = (sum(_cpu(server.pid) for server in servers) - before) / IDLE_SECONDS / SERVERS
        for server in servers:
            assert server.stdin is not None
            server.stdin.close()
    return Figure(f"each of {SERVERS} idle servers on one file", share * 100, "% of core", "at most 0.2")


def _server(path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "mcp_hitl", "--db", str(path)]
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    assert server.stdin is not None and server.stdout is not None
    for said in (_HELLO, {"jsonrpc": "2.0", "method": "notifications/initialized"}):
        print(json.dumps(said), file=server.stdin, flush=True)
    server.stdout.readline()
    return server


def _cpu(process: int) -> float:
    fields: list[str] = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _decided_elsewhere(path: Path) -> list[Figure]:
    heard: list[float] = []
    completed: list[float] = []
    store = SqliteStore(path)
    async with serve(Desk(store, effects=EFFECTS, rulebook=UNLIMITED)) as desk:
        with _decider(path) as other:
            assert other.stdin is not None and other.stdout is not None
            for number in range(DECISIONS):
                approval = await desk.approvals.submit(ANA, "expense", lunch(number))
                done, at, decided = anyio.Event(), list[float](), 0.0

                def note(_: str, at: list[float] = at, done: anyio.Event = done) -> None:
                    at.append(time.monotonic())
                    done.set()

                async def wait(approval_id: str = approval.id, at: list[float] = at) -> None:
                    await desk.approvals.wait(ANA, approval_id, seconds=60)
                    at.append(time.monotonic())

                async with desk.feed.listen(approval.id, note, events=(Event.SUCCEEDED,)):
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(wait)
                        await anyio.sleep(0.1)
                        print(approval.id, file=other.stdin, flush=True)
                        decided = float(await anyio.to_thread.run_sync(other.stdout.readline))
                        await done.wait()
                heard.append(max(0.0, min(at) - decided))
                completed.append(max(0.0, max(at) - decided))
            other.stdin.close()
    await store.close()
    return [
        *spread("decision of another process → waiter", heard),
        *spread("decision of another process → flow completed", completed),
    ]


def _decider(path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.waking", str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def _decide_what_is_named(path: Path) -> None:
    """Decide each approval whose id comes on stdin, and say when that was committed."""
    store = SqliteStore(path)
    desk = Desk(store, effects=EFFECTS, rulebook=UNLIMITED)
    for line in iter(sys.stdin.readline, ""):
        await decide(desk, await desk.approvals.get(ANA, line.strip()))
        print(time.monotonic(), flush=True)
    await store.close()


if __name__ == "__main__":
    anyio.run(_decide_what_is_named, Path(sys.argv[1]))
