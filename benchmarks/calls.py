"""Submit over HTTP beside a call of the bare MCP SDK, and 200 agents at once.

Both servers are processes of their own: `mcp-hitl serve`, which writes each request to the disk, and `bare_server`,
whose tool has the same schemas and returns one such result at once. The SDK's own clients call the two in turn, alone
and 16 at once, on both generations of the protocol. CPU is that of the client and of the server, in a call.
"""

import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

import anyio
from mcp import Client
from mcp_types import CallToolResult

from benchmarks.cycles import CALLED, dinner
from benchmarks.figures import Figure, database

PROTOCOLS = {"2026-07-28": "2026-07-28", "2025-11-25": "legacy"}
ROUNDS = 9
SECONDS = 1.0
"""Of each round, for each server."""
AGENTS, CALLS_EACH = 200, 10
PATIENCE = 120.0
_POLICY = '[kinds.action]\nlimits = { open_per_requester = "none", open_bytes = "none", per_minute = "none" }\n'
_TICKS = os.sysconf("SC_CLK_TCK") if sys.platform == "linux" else 1
_numbers = count(1)


@dataclass(frozen=True)
class Place:
    """A server that runs."""

    url: str
    process: "subprocess.Popen[str]"

    @property
    def cpu(self) -> float:
        """The seconds of CPU that it has used; Linux tells."""
        if sys.platform != "linux":
            return 0.0
        used = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(used[11]) + int(used[12])) / _TICKS


@dataclass(frozen=True)
class Taken:
    """What one call took, on the average of a round: seconds, and CPU of client and server."""

    seconds: float
    client: float
    server: float


async def measure() -> list[Figure]:
    """Ours beside the bare SDK's, then 200 agents."""
    figures: list[Figure] = []
    with _desk() as ours:
        async with Client(ours.url) as client:
            like = (await _call(client)).model_dump_json(by_alias=True)
        with _bare(like) as bare:
            for protocol in PROTOCOLS:
                for together in CALLED:
                    figures += await _beside(ours, bare, protocol, together)
    for protocol in PROTOCOLS:
        with _desk() as ours:
            figures += await _agents(ours, protocol)
    return figures


async def _beside(ours: Place, bare: Place, protocol: str, together: int) -> list[Figure]:
    async with _clients(ours, protocol, together) as asking, _clients(bare, protocol, together) as calling:
        rounds = [(await _taken(ours, asking), await _taken(bare, calling)) for _ in range(ROUNDS)]
    submits, calls = zip(*rounds, strict=True)
    where = f"{CALLED[together]}, {protocol}"
    return [
        *_told(f"submit over HTTP, {where}", submits),
        *_told(f"bare SDK's call, {where}", calls),
        Figure(
            f"submit / bare SDK's call, {where}",
            median(b.seconds / a.seconds for a, b in rounds),
            "ratio",
            "at least 0.85",
        ),
    ]


def _told(what: str, rounds: tuple[Taken, ...]) -> list[Figure]:
    return [
        Figure(what, 1 / median(one.seconds for one in rounds), "calls/s"),
        Figure(f"{what}: CPU of client", 1_000 * median(one.client for one in rounds), "ms"),
        Figure(f"{what}: CPU of server", 1_000 * median(one.server for one in rounds), "ms"),
    ]


async def _taken(place: Place, clients: list[Client]) -> Taken:
    calls = 0
    started, cpu, served = time.perf_counter(), time.process_time(), place.cpu

    async def caller(client: Client) -> None:
        nonlocal calls
        while time.perf_counter() < started + SECONDS:
            await _call(client)
            calls += 1

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(caller, client)
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    return Taken(seconds / calls, used / calls, (place.cpu - served) / calls)


async def _agents(place: Place, protocol: str) -> list[Figure]:
    taken: list[float] = []
    errors = 0
    async with _clients(place, protocol, AGENTS) as clients:
        started = time.perf_counter()

        async def agent(client: Client) -> None:
            nonlocal errors
            for _ in range(CALLS_EACH):
                begun = time.perf_counter()
                try:
                    await _call(client)
                except Exception:
                    errors += 1
                taken.append(time.perf_counter() - begun)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for client in clients:
                    tasks.start_soon(agent, client)
        seconds = time.perf_counter() - started
    ordered = sorted(1_000 * each for each in taken)
    what = f"{AGENTS} agents submit at once, {protocol}"
    return [
        Figure(what, len(taken) / seconds, "calls/s"),
        Figure(f"{what}, median", median(ordered), "ms"),
        Figure(f"{what}, 99th percentile", ordered[int(0.99 * (len(ordered) - 1))], "ms"),
        Figure(f"{what}, errors", errors, "calls", "0"),
    ]


async def _call(client: Client) -> CallToolResult:
    arguments = {"title": "Dinner", "details": dinner(next(_numbers))}
    result = await client.call_tool("request-approval", arguments)
    if result.is_error:
        raise AssertionError(result.structured_content)
    return result


@asynccontextmanager
async def _clients(place: Place, protocol: str, how_many: int) -> AsyncGenerator[list[Client]]:
    """Clients that have called once each, so that they know the tool."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client(place.url, mode=PROTOCOLS[protocol])) for _ in range(how_many)
        ]
        for client in clients:
            if client.protocol_version != protocol:
                raise AssertionError(client.protocol_version)
            await _call(client)
        yield clients


@contextmanager
def _desk() -> Generator[Place]:
    with database() as path:
        policy = path.with_name("policy.toml")
        policy.write_text(_POLICY)
        policy.chmod(0o600)
        command = [sys.executable, "-m", "mcp_hitl", "--db", path, "--config", policy, "serve", "--port", "0"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            yield Place(next(line.split()[-1] for line in process.stderr if "MCP endpoint" in line), process)
        finally:
            process.kill()
            process.communicate()


@contextmanager
def _bare(result: str) -> Generator[Place]:
    command = [sys.executable, "-m", "benchmarks.bare_server"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(f"{result}\n")
        process.stdin.flush()
        yield Place(process.stdout.readline().strip(), process)
    finally:
        process.kill()
        process.communicate()
