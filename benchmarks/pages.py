"""Fifty pages of the inbox that are open while somebody decides: how soon all of them show it, and what it costs.

The server is a real `mcp-hitl serve` with 10,000 pending. The decisions are made by another process (this one, through
a desk on the same file) and timed from the moment their maker has heard of the commit until the last page has it: as
the event on each of fifty streams, and as a row that is struck through on each of fifty pages of real Chromiums (ten
browsers' worth of sessions with five tabs each, where a Chromium is installed).
"""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import anyio
import anyio.abc
import anyio.to_thread
from playwright.async_api import Page, async_playwright

from benchmarks.figures import ANA, UNLIMITED, Figure, database, lunch
from benchmarks.waiting import decide
from mcp_hitl.desk import Desk
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.web.door import cookie_name
from mcp_hitl.web.sign_in import link

PENDING = 10_000
BROWSERS, TABS = 10, 5
DECISIONS = 20
PATIENCE = 60.0
_GONE = """id => new Promise((done) => {
  const look = () => document.getElementById(id).classList.contains("gone") && done(Date.now());
  new MutationObserver(look).observe(document.getElementById("list"), { subtree: true, attributes: true });
  look();
})"""


async def measure() -> list[Figure]:
    """The figures of streams, and of pages where there is a browser."""
    with database() as path:
        store = SqliteStore(path)
        desk = Desk(store, effects=EFFECTS, rulebook=UNLIMITED)
        for start in range(0, PENDING, 1_000):
            await asyncio.gather(
                *(desk.approvals.submit(ANA, "expense", lunch(n)) for n in range(start, start + 1_000))
            )
        with _server(path) as (address, process):
            figures = _told("event on every stream", await _streams(desk, address))
            if executable := next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None):
                figures += _told("struck through on every page", await _pages(desk, address, executable))
            if sys.platform == "linux":
                status = await anyio.to_thread.run_sync(Path(f"/proc/{process.pid}/status").read_text)
                peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
                figures.append(Figure("peak memory of that server", peak / 1024, "MB", "< 300"))
        await store.close()
    return figures


def _told(what: str, seconds: list[float]) -> list[Figure]:
    name = f"decision -> {what} ({BROWSERS * TABS} open)"
    return [
        Figure(f"{name}, median", median(seconds) * 1_000, "ms"),
        Figure(f"{name}, slowest", max(seconds) * 1_000, "ms", "< 1,000"),
    ]


@contextmanager
def _server(path: Path) -> Generator[tuple[str, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "mcp_hitl", "--db", str(path), "serve", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        endpoint = next(line.split()[-1] for line in process.stderr if "MCP endpoint" in line)
        yield endpoint.removesuffix("/mcp"), process
    finally:
        process.terminate()
        process.communicate()


async def _streams(desk: Desk, address: str) -> list[float]:
    there = urlsplit(address)
    assert there.hostname and there.port
    session = await desk.inbox.sign_in(await desk.inbox.offer_link(ANA))
    name = await desk.inbox.database_id()
    cookie = f"{cookie_name(name)}={name}.{session.secret}"
    request = f"GET /live HTTP/1.1\r\nHost: {there.netloc}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    async with AsyncExitStack() as stack:
        streams: list[anyio.abc.SocketStream] = []
        for _ in range(BROWSERS * TABS):
            stream = await stack.enter_async_context(await anyio.connect_tcp(there.hostname, there.port))
            await stream.send(request.encode())
            await _heard(stream, b"event: open")
            streams.append(stream)
        taken: list[float] = []
        for approval in (await desk.search.pending(ANA, limit=DECISIONS)).approvals:
            decided = 0.0
            async with asyncio.timeout(PATIENCE), anyio.create_task_group() as tasks:
                for stream in streams:
                    tasks.start_soon(_heard, stream, approval.id.encode())
                await decide(desk, approval)
                decided = time.perf_counter()
            taken.append(time.perf_counter() - decided)
        return taken


async def _heard(stream: anyio.abc.SocketStream, text: bytes) -> None:
    held = b""
    while text not in held:
        held += await stream.receive()


async def _pages(desk: Desk, address: str, executable: str) -> list[float]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        pages: list[Page] = []
        for _ in range(BROWSERS):
            context = await chromium.new_context()
            context.set_default_timeout(PATIENCE * 1_000)
            first = await context.new_page()
            await first.goto(link(Origin.parse(address), await desk.inbox.offer_link(ANA)))
            await first.wait_for_url(f"{address}/")
            pages.append(first)
            for _ in range(TABS - 1):
                tab = await context.new_page()
                await tab.goto(address)
                pages.append(tab)
        taken: list[float] = []
        for approval in (await desk.search.pending(ANA, limit=DECISIONS)).approvals:
            seen = [asyncio.create_task(page.evaluate(_GONE, approval.id)) for page in pages]
            await asyncio.gather(*(page.evaluate("1") for page in pages))  # every page watches by now
            await decide(desk, approval)
            decided = time.time()
            async with asyncio.timeout(PATIENCE):
                taken.append(max(await asyncio.gather(*seen)) / 1_000 - decided)
        await chromium.close()
    return taken
