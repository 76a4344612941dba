"""The clock of real processes is shifted for some seconds while an action goes on and requests wait: nothing happens.

A preloaded library shifts the wall clock alone. The clocks that count since the start go on, as they do in reality.
"""

import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from acceptance.clocked_flow import FOLDER
from asked import look, on_desk
from mcp import Client
from terminal import terminal
from wires import PROTOCOLS, connect, content, http_server, launcher, unmeasured

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.evidence.chain import Entry
from mcp_hitl.domain.evidence.event_names import Event

HERE = Path(__file__).parent
SOAK = bool(os.environ.get("SOAK"))
LEAPS = (timedelta(days=8), timedelta(days=3650))
SAMPLE = [((timedelta(hours=-1), timedelta(days=3650)), True)]
EVERY = [
    ((span,), stopped) for span in (timedelta(minutes=1), timedelta(hours=-1), *LEAPS) for stopped in (False, True)
]
BRIEF = 20 if SOAK else 1
"""How many requests of two seconds run out while the clock is shifted; leases run out after 30 seconds."""
YES = {"this? [y/N]: ": "y"}
POLICY = """
[kinds.work]
title = "Work"
schema = { additionalProperties = false }
flow = "acceptance.clocked_flow:WorkFlow"

[kinds.thing]
title = "Thing {n}"
schema = { properties = { n = { type = "integer" } }, required = ["n"], additionalProperties = false }
timeout = "2 hours"
remind_after = ["90 minutes"]

[kinds.brief]
title = "Brief {n}"
schema = { properties = { n = { type = "integer" } }, required = ["n"], additionalProperties = false }
timeout = "2 seconds"
"""

pytestmark = pytest.mark.anyio

if not sys.platform.startswith("linux") or shutil.which("gcc") is None:
    pytest.skip("the clock is shifted with gcc and LD_PRELOAD, on Linux", allow_module_level=True)


@pytest.fixture(scope="module")
def shifted_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that shifts the wall clock."""
    library = tmp_path_factory.mktemp("clock") / "shifted_clock.so"
    source = HERE / "shifted_clock.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


class Computer:
    """Processes on one database, all of which go by a clock that the test shifts."""

    def __init__(self, folder: Path, library: Path) -> None:
        """The clock is right at first."""
        self.folder, self.database = folder, folder / "hitl.db"
        self._ahead, self._policy = folder / "ahead", folder / "policy.toml"
        self._ahead.write_bytes(struct.pack("q", 0))
        self._policy.write_text(POLICY)
        os.mkfifo(folder / "pipe")
        self.variables = unmeasured(
            LD_PRELOAD=str(library),
            SHIFTED_CLOCK=str(self._ahead),
            MCP_HITL_CONFIG=str(self._policy),
            PYTHONPATH=str(HERE.parent),
            **{FOLDER: str(folder)},
        )

    def shift(self, ahead: timedelta) -> None:
        """Set the clock that far ahead of the right time, for every process at once."""
        with self._ahead.open("r+b") as file:  # the same file, which they have mapped
            file.write(struct.pack("q", int(ahead.total_seconds())))

    def change_policy(self) -> None:
        """Write something into the policy file that changes no rule."""
        self._policy.write_text(f"{self._policy.read_text()}# changed\n")

    @asynccontextmanager
    async def server(self) -> AsyncGenerator[tuple[int, Client]]:
        """`mcp-hitl serve`: its process, and a client of it."""
        with http_server(self.database, variables=self.variables, start=launcher) as (url, process):
            async with connect(url, PROTOCOLS[0]) as client:
                try:
                    yield process.pid, client
                finally:
                    process.send_signal(signal.SIGCONT)  # so that the client can say goodbye

    async def at_terminal(self, *arguments: str, answers: Mapping[str, str] | None = None) -> str:
        """What a command shows to a person, who gives these answers."""

        def run() -> str:
            command = launcher("--db", str(self.database), *arguments)
            with terminal(command, variables=self.variables) as person:
                person.finish(saying=answers)
                return person.shown

        return await anyio.to_thread.run_sync(run)

    async def begun(self) -> IO[str]:
        """Return the way to end the action, once it has begun."""
        with anyio.fail_after(60):  # a pipe opens when somebody reads from it
            return await anyio.to_thread.run_sync((self.folder / "pipe").open, "w", abandon_on_cancel=True)

    def acted(self) -> list[int]:
        """The processes that have begun the action."""
        return [int(line) for line in (self.folder / "notes").read_text().split()]


@pytest.fixture
def computer(tmp_path: Path, shifted_clock: Path) -> Computer:
    """A computer with no database yet."""
    return Computer(tmp_path, shifted_clock)


async def ask(client: Client, kind: str, n: int | None = None) -> Mapping[str, Any]:
    """What an agent is told that asks for this."""
    details = {} if n is None else {"n": n}
    return content(await client.call_tool("request-approval", {"title": kind, "kind": kind, "details": details}))


async def run_out(client: Client, begin: int, count: int) -> None:
    """Ask for what has two seconds, and wait until it has expired: so every worker has had turns."""
    for n in range(begin, begin + count):
        brief = await ask(client, "brief", n)
        with anyio.fail_after(60):
            while content(await client.call_tool("wait-for-approval", {"id": brief["id"]}))["status"] == "pending":
                pass


class Browser:
    """Somebody who is signed in at the inbox."""

    def __init__(self, link: str) -> None:
        """Come in with a link."""
        page, _, code = link.partition("#")
        self._address = page.removesuffix("/sign-in")
        answer = httpx2.post(page, data={"code": code}, headers={"Origin": self._address}).raise_for_status()
        self._cookies = dict(answer.cookies)

    def is_in(self) -> bool:
        """Whether the inbox shows what waits."""
        return httpx2.get(self._address, cookies=self._cookies, timeout=60).status_code == 200


@pytest.mark.parametrize(("shifts", "stopped"), SAMPLE + EVERY if SOAK else SAMPLE, ids=str)
async def test_t44_a_clock_that_is_wrong_for_some_seconds_takes_nothing_from_anybody(
    computer: Computer, shifts: tuple[timedelta, ...], *, stopped: bool
) -> None:
    began = datetime.now(UTC)
    async with AsyncExitStack() as stack:
        servers = dict([await stack.enter_async_context(computer.server()) for _ in range(2)])
        client = next(iter(servers.values()))
        work, waits, rejected = await ask(client, "work"), await ask(client, "thing", 1), await ask(client, "thing", 2)
        await computer.at_terminal("approve", work["id"], answers=YES)
        await computer.at_terminal("reject", rejected["id"], "--reason", "Not this.", answers=YES)
        printed = re.search(r"http://\S+#\S+", await computer.at_terminal("inbox", "--print"))
        assert printed is not None
        browser = await anyio.to_thread.run_sync(Browser, printed[0])
        end = stack.enter_context(await computer.begun())
        [acting] = computer.acted()
        other = next(held for process, held in servers.items() if process != acting)
        if stopped:
            os.kill(acting, signal.SIGSTOP)
        for number, ahead in enumerate(shifts):
            computer.shift(ahead)
            await run_out(other, number * BRIEF, BRIEF)
            computer.change_policy()  # the next process writes of it as its first act
            assert waits["id"] in await computer.at_terminal("pending")
            assert ("[clock-leapt]" in await computer.at_terminal("doctor")) == (ahead in LEAPS)
            assert stopped or await anyio.to_thread.run_sync(browser.is_in)
            assert (await ask(other, "thing", 2))["id"] == rejected["id"]
        quick = await ask(other, "thing", 3)
        await computer.at_terminal("approve", quick["id"], answers=YES)
        computer.shift(timedelta())
        await run_out(other, len(shifts) * BRIEF, 1)
        os.kill(acting, signal.SIGCONT)
        assert (await ask(client, "thing", 2))["id"] == rejected["id"]
        assert await anyio.to_thread.run_sync(browser.is_in)
        assert computer.acted() == [acting]
        end.close()
        await succeeds(client, work["id"])
    await anyio.to_thread.run_sync(check, computer, began, waits["id"], quick["id"])


async def succeeds(client: Client, approval_id: str) -> None:
    """Return when its action has succeeded."""
    outcome = {"state": OutcomeState.RUNNING.value}
    with anyio.fail_after(60):
        while outcome["state"] == OutcomeState.RUNNING.value:
            await anyio.sleep(0.02)  # what is waited for is a decision, not an outcome
            outcome = content(await client.call_tool("get-approval", {"id": approval_id}))["outcome"]
    assert outcome["state"] == OutcomeState.SUCCEEDED.value, outcome


def check(computer: Computer, began: datetime, waits: str, quick: str) -> None:
    """Nothing happened that was not due, and the log tells it in order."""
    assert look(computer.database, waits).status is Status.PENDING
    assert look(computer.database, quick).status is Status.APPROVED

    async def verified(desk: Desk) -> list[Entry]:
        assert (await desk.evidence.verify()).wrong is None
        return [one.entry for one in await desk.evidence.entries()]

    entries: list[Entry] = on_desk(computer.database, verified)
    brief = {one.approval for one in entries if one.event is Event.OPENED and one.data["kind"] == "brief"}
    happened = [one.event for one in entries if one.approval not in brief]
    assert not {Event.EXPIRED, Event.REMINDED, Event.UNKNOWN, Event.CLOCK_SET_BACK} & set(happened)
    assert happened.count(Event.STARTED) == happened.count(Event.SUCCEEDED) == 1
    assert all(before.at <= after.at for before, after in pairwise(entries))
    assert entries[-1].at < datetime.now(UTC) + timedelta(minutes=2) and entries[0].at >= began - timedelta(seconds=1)
