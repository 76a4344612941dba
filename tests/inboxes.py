"""The inbox of real processes: where it is, who answers there, and a person who comes in with a real browser."""

import json
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
from playwright.async_api import Browser, BrowserContext, Page
from terminal import Terminal, terminal
from warm import warm
from web.rig import GUARD_SECONDS
from wires import promptly

from mcp_hitl.desk import Desk
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.web.host import is_ours

PATIENCE = 60.0
"""Longer than a process of ours takes to start on a busy machine."""

_HANDED_OVER = "The browser has it."


async def inbox_of(database: Path, but: str | None = None) -> str:
    """Where the inbox is, once one answers that proves to be of this database, at another address than `but`."""
    store = SqliteStore(database)
    desk = Desk(store, effects=EFFECTS)
    try:
        with anyio.fail_after(PATIENCE):
            while True:
                last = await desk.inbox.last_inbox()
                if last and str(last) != but and await is_ours(store.shared_key(), last):
                    return str(last)
                await anyio.sleep(0.02)  # nothing tells when a process has begun to listen
    finally:
        await store.close()


def inbox_at(database: Path) -> str:
    """The same for tests that are not asynchronous."""
    return anyio.run(inbox_of, database)


def listening_on(process: int) -> set[int]:
    """The TCP ports that a process listens on (Linux)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = {f"socket:[{row[9]}]": int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"}
    held: set[str] = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            held.add(str(descriptor.readlink()))
    return {ports[socket] for socket in held & set(ports)}


async def keeping(process: int) -> None:
    """Return when a process keeps a port on which it does not listen, of which no table of Linux tells."""
    with anyio.fail_after(PATIENCE):
        while True:
            if _unlisted(process):
                return
            await anyio.sleep(0.02)  # nothing tells when a process has bound a port


def _unlisted(process: int) -> set[str]:
    tables = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6", "unix")]
    listed = {f"socket:[{row.split()[column]}]" for rows, column in zip(tables, (9, 9, 6), strict=True) for row in rows}
    held: set[str] = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            held.add(str(descriptor.readlink()))
    return {one for one in held if one.startswith("socket:")} - listed


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


class Opening:
    """`mcp-hitl inbox` at a terminal, with a browser that only keeps what it is given."""

    def __init__(self, person: Terminal, given: Path) -> None:
        """`given` is where the browser keeps it."""
        self.person = person
        self.given = given
        self.starting = 0.0
        """The seconds until it opened the browser."""
        self._since = time.monotonic()

    def page(self) -> str:
        """The page that the browser was given: the URL of a file, which goes on to the sign-in link."""
        self.person.until(_HANDED_OVER)
        self.starting = time.monotonic() - self._since
        return self.given.read_text()

    def stop(self) -> None:
        """Press Ctrl-C; it ends in time."""
        since = time.monotonic()
        self.person.process.send_signal(signal.SIGINT)
        assert self.person.finish() == 0, self.person.shown
        assert time.monotonic() - since < promptly(self.starting)


@contextmanager
def opening(database: Path, *arguments: str) -> Generator[Opening]:
    """Run `mcp-hitl inbox` at a terminal."""
    given, script = database.with_name("given"), database.with_name("browser.py")
    given.unlink(missing_ok=True)
    script.write_text(f"import sys\nopen({str(given)!r}, 'w').write(sys.argv[1])\nprint({_HANDED_OVER!r})\n")
    command = warm("--db", str(database), "inbox", *arguments)
    with terminal(command, variables={"BROWSER": f"{sys.executable} {script} %s"}) as person:
        yield Opening(person, given)


class Asked(list[str]):
    """The paths that a stranger was asked for, the cookies that came along, and where it is."""

    address = Origin("http", "127.0.0.1", 0)

    def __init__(self) -> None:
        """Nobody has asked."""
        super().__init__()
        self.cookies: list[str] = []


@contextmanager
def stranger(port: int, answer: Callable[[str], tuple[int, Any]], number: str = "127.0.0.1") -> Generator[Asked]:
    """Somebody else's server on a port (0: a free one), which answers each path with a status and JSON."""
    asked = Asked()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            asked.cookies += self.headers.get_all("cookie", [])
            status, content = answer(self.path)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in number else socket.AF_INET

    server = Server((number, port), Handler)
    asked.address = Origin("http", number, server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
