"""The inbox of real processes: where it is, who answers there, and a person who comes in with a real browser."""

import json
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
from playwright.async_api import Browser, BrowserContext, Page
from terminal import Terminal, terminal
from web.rig import GUARD_SECONDS
from wires import launcher

from mcp_hitl.desk import Desk
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.web.hosting import is_ours

PATIENCE = 60.0
"""Longer than a process of ours takes to start on a busy machine."""


async def inbox_of(database: Path, but: str | None = None) -> str:
    """Where the inbox is, once one answers that proves to be of this database, at another address than `but`."""
    store = SqliteStore(database)
    desk = Desk(store, inbox="in a test")
    try:
        with anyio.fail_after(PATIENCE):
            while True:
                address = await desk.last_inbox()
                if address not in {None, but} and address and await is_ours(store.shared_key(), address):
                    return address
                await anyio.sleep(0.02)  # nothing tells when a process has begun to listen
    finally:
        await store.close()


def listeners(*processes: int) -> dict[int, set[int]]:
    """The TCP ports that each process listens on (Linux)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = {row[9]: int(row[1].split(":")[1], 16) for row in map(str.split, lines) if row[3] == "0A"}
    found: dict[int, set[int]] = {}
    for process in processes:
        links: set[str] = set()
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            try:
                links.add(str(descriptor.readlink()))
            except FileNotFoundError:
                continue  # closed meanwhile
        found[process] = {port for inode, port in listening.items() if f"socket:[{inode}]" in links}
    return found


@asynccontextmanager
async def visitor(running: Browser) -> AsyncGenerator[Page]:
    """A page of a browser of its own; scripts that fail fail the test."""
    context: BrowserContext = await running.new_context()
    context.set_default_timeout(GUARD_SECONDS * 1000)
    page = await context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    try:
        yield page
        assert not failures, failures
    finally:
        await context.close()


@contextmanager
def opening(database: Path, *arguments: str) -> Generator[tuple[Terminal, Callable[[], str | None]]]:
    """`mcp-hitl inbox` at a terminal, and the page that it has handed to the browser: the file's URL, once there is."""
    handed = database.with_name("handed")
    handed.unlink(missing_ok=True)
    script = database.with_name("browser.py")
    script.write_text(
        "import os, sys\n"
        f"open({str(handed) + '.new'!r}, 'w').write(sys.argv[1])\n"
        f"os.replace({str(handed) + '.new'!r}, {str(handed)!r})\n"
    )
    command = launcher("--db", str(database), "inbox", *arguments)
    with terminal(command, variables={"BROWSER": f"{sys.executable} {script} %s"}) as person:
        yield person, lambda: handed.read_text() if handed.exists() else None


@contextmanager
def stranger(port: int, answer: Callable[[str], tuple[int, Any]]) -> Generator[list[str]]:
    """Somebody else's server on a port: `answer` gives the status and JSON for a path; yields the paths asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, content = answer(self.path)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
