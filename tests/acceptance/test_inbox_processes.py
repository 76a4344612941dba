"""One inbox for all processes on a database: who serves it, who takes over, and that nobody else is ever trusted."""

import json
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import anyio
import anyio.to_thread
import httpx2
import pytest
from asked import ask, look, lunch
from inboxes import inbox_of, keeping, listening_on, opening, stranger, visitor
from playwright.async_api import Page, expect
from server.rig import Pipes, pipes
from terminal import at_terminal, run, terminal
from warm import warm
from web.rig import browser
from wires import http_server, launcher, promptly

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import serve
from mcp_hitl.protocols.http.listener import Listener
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.web.app import Inbox
from mcp_hitl.web.host import is_ours

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
"""Seconds until something that does not come fails the test, longer than anything here takes."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


@asynccontextmanager
async def stdio(database: Path, start: Callable[..., list[str]] = warm) -> AsyncGenerator[Pipes]:
    """A server that a client has started."""
    async with pipes(database, start("--db", str(database))) as client:
        await client.shake_hands()
        yield client


@asynccontextmanager
async def watching(database: Path) -> AsyncGenerator[Page]:
    """A page of somebody who has come in with `mcp-hitl inbox`."""
    async with browser() as chromium, visitor(chromium) as page:
        with opening(database) as opened:
            await page.goto(opened.page())
            await expect(page.get_by_text("Nothing is pending")).to_be_visible()
            assert opened.person.finish() == 0
        yield page


@asynccontextmanager
async def listening(desk: Desk, key: bytes) -> AsyncGenerator[Origin]:
    """An inbox of this process, of which nobody is told."""
    ready = anyio.Event()
    inbox = Inbox(desk, key=key, how="")
    listener = Listener(inbox.app, "localhost", 0, ready=lambda _: ready.set())
    async with serve(desk), inbox.open(), anyio.create_task_group() as tasks:
        tasks.start_soon(listener.run)
        await ready.wait()
        yield listener.address
        listener.stop()


async def asked_for(database: Path, description: str) -> str:
    """What an agent asks through another process; the approval's id."""
    return await anyio.to_thread.run_sync(lambda: ask(database, payload=lunch(description=description)))


async def submit(client: Pipes, description: str) -> str:
    """What an agent asks; the approval's id."""
    expense = {"amount": 50, "description": description}
    return (await client.call("submit-expense", **expense))["structuredContent"]["id"]


async def told_that_it_is_at(client: Pipes, approval_id: str, address: str) -> None:
    """Return when the agent is told this page of the approval."""
    url: str | None = None
    with anyio.fail_after(promptly(client.starting)):
        while url != f"{address}/approvals/{approval_id}":
            url = (await client.call("get-approval", id=approval_id))["structuredContent"]["url"]


async def approve(page: Page, description: str) -> None:
    """Decide what has appeared on an open list."""
    await page.get_by_role("link", name=description).click()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="How it ended")).to_be_visible()
    await page.get_by_role("link", name="Pending").first.click()
    await page.wait_for_url(re.compile(r"^http://localhost:\d+/$"))


def port_of(address: str) -> int:
    """The port of an address."""
    port = urlsplit(address).port
    assert port is not None
    return port


@pytest.mark.skipif(sys.platform != "linux", reason="who listens is read from Linux's /proc")
async def test_one_process_serves_and_when_it_is_killed_another_goes_on_for_pages_that_are_open(database: Path) -> None:
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(stdio(database, launcher)) for _ in range(3)]
        address = await inbox_of(database)
        port = port_of(address)
        assert [listening_on(each.process.pid) for each in (one, two, three)].count({port}) == 1
        assert [listening_on(each.process.pid) for each in (one, two, three)].count(set()) == 2
        async with watching(database) as page:
            clients = [one, two, three]
            for each in clients:
                if not listening_on(each.process.pid):
                    await keeping(each.process.pid)
            for left in (2, 1):
                [serving] = [each for each in clients if listening_on(each.process.pid)]
                clients.remove(serving)
                serving.process.send_signal(signal.SIGKILL)
                await expect(page.locator("#news")).to_contain_text("The connection is lost.")
                assert await inbox_of(database) == address
                assert [listening_on(each.process.pid) for each in clients].count({port}) == 1
                await expect(page.locator("#news")).to_be_hidden()
                approval_id = await submit(clients[0], f"Lunch for {left}")
                for each in clients:
                    await told_that_it_is_at(each, approval_id, address)
                await approve(page, f"Lunch for {left}")
                decided = await anyio.to_thread.run_sync(look, database, approval_id)
                assert decided.status is Status.APPROVED


async def test_another_takes_over_from_serve_and_leaves_it_the_port_that_it_was_told(database: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        named = str(free.getsockname()[1])
    with http_server(database, "--port", named) as (endpoint, serving):
        first = await inbox_of(database)
        assert port_of(endpoint) == int(named) != port_of(first)
        async with stdio(database, launcher) as other:
            await keeping(other.process.pid)
            serving.send_signal(signal.SIGTERM)
            await anyio.to_thread.run_sync(serving.wait)
            assert await inbox_of(database) == first
            with http_server(database, "--port", named) as (again, _):
                assert again == endpoint


async def test_a_stranger_on_the_port_of_an_inbox_that_has_ended_is_left_alone(database: Path) -> None:
    async with stdio(database):
        address = await inbox_of(database)
    approval_id = await asked_for(database, "Lunch")
    with stranger(port_of(address), lambda path: (200, {"proof": "0" * 64})) as asked, opening(database) as opened:
        given = opened.page()
        elsewhere = await inbox_of(database)
        assert elsewhere != address and asked == []
        async with browser() as chromium, visitor(chromium) as page:
            await page.goto(given)
            await expect(page.get_by_role("link", name="Lunch")).to_be_visible()
            assert page.url == f"{elsewhere}/"
            # Open pages live here as anywhere, although the other port could not be taken.
            later = await asked_for(database, "Later")
            await expect(page.get_by_role("link", name="Later")).to_be_visible()
            assert later != approval_id
            await page.goto(f"{elsewhere}/approvals/{approval_id}")
            await expect(page.get_by_role("button", name="Approve")).to_be_visible()
            opened.stop()
        assert asked == []


@pytest.mark.parametrize("how", ["rubbish", "relay"])
async def test_a_stranger_at_the_recorded_address_is_not_opened(database: Path, how: str) -> None:
    store = SqliteStore(database)
    with http_server(database):
        ours = await inbox_of(database)

        def answer(path: str) -> tuple[int, Any]:
            if how == "rubbish":
                return 200, {"proof": "0" * 64}
            with urlopen(ours + path) as relayed:
                return 200, json.load(relayed)

        with stranger(0, answer) as asked:
            await store.write(lambda tx: tx.facts.set_inbox(asked.address))
            key = store.shared_key()
            assert await is_ours(key, Origin.parse(ours)) and not await is_ours(key, asked.address)
            with opening(database) as opened:
                assert opened.person.finish() == 2
            assert "is not the inbox of this database" in opened.person.shown
            assert "another MCP_HITL_KEY" in opened.person.shown
            assert not opened.given.exists()
            assert {urlsplit(path).path for path in asked} == {"/inbox/identity"}
    await store.close()


async def test_the_url_of_an_approval_is_its_page_while_somebody_serves_it_and_null_otherwise(database: Path) -> None:
    def url(approval_id: str) -> str | None:
        shown: Mapping[str, Any] = json.loads(run(database, "show", approval_id, "--json").stdout)
        return shown["url"]

    approval_id = await asked_for(database, "Lunch")
    assert url(approval_id) is None
    async with stdio(database, launcher) as client:
        address = await inbox_of(database)
        await told_that_it_is_at(client, approval_id, address)
        assert url(approval_id) == f"{address}/approvals/{approval_id}"
        client.process.send_signal(signal.SIGKILL)
        await client.process.wait()
        assert url(approval_id) is None


async def test_who_is_too_late_to_serve_it_goes_on_to_the_one_that_was_faster(database: Path) -> None:
    store = SqliteStore(database)
    desk = Desk(store, effects=EFFECTS)
    assert desk.inbox.take_inbox()
    with opening(database) as opened:
        opened.person.until("Waiting for it")
        async with listening(desk, store.shared_key()) as address, browser() as chromium, visitor(chromium) as page:
            await desk.inbox.announce_inbox(address)
            await page.goto(await anyio.to_thread.run_sync(opened.page))
            await expect(page.get_by_text("Nothing is pending")).to_be_visible()
            assert await anyio.to_thread.run_sync(opened.person.finish) == 0
    await store.close()


async def test_serve_says_where_the_inbox_is_when_that_is_known_only_later(database: Path) -> None:
    store = SqliteStore(database)
    desk = Desk(store, effects=EFFECTS)
    assert desk.inbox.take_inbox()
    with at_terminal(database, "serve", "--port", "0") as person:
        shown = await anyio.to_thread.run_sync(person.until, "Stop with Ctrl-C.")
        assert "another process is about to serve it" in shown and "sign-in#" not in shown
        [endpoint] = re.findall(r"http://\S+/mcp$", shown, re.MULTILINE)[:1]
        async with httpx2.AsyncClient() as http:
            assert (await http.get(endpoint.removesuffix("mcp"))).status_code == 503
        desk.inbox.leave_inbox()
        shown = await anyio.to_thread.run_sync(person.until, "(to sign in")
        assert f"The inbox is at {await inbox_of(database)} now" in shown
        person.process.terminate()
        assert await anyio.to_thread.run_sync(person.finish) == 0
    await store.close()


def test_without_a_terminal_nobody_gets_a_link(database: Path) -> None:
    for arguments in (("inbox",), ("inbox", "--print"), ("inbox", ask(database))):
        done = run(database, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert (
            "there is none here" in done.stderr and "No link was made" in done.stderr and "sign-in#" not in done.stderr
        )


async def test_inbox_with_an_id_opens_that_approval_and_ends_with_ctrl_c(database: Path) -> None:
    approval_id = await asked_for(database, "Lunch")
    with opening(database, approval_id) as opened:
        given = opened.page()
        address = await inbox_of(database)
        async with browser() as chromium, visitor(chromium) as page:
            async with page.expect_response("**/live"):
                await page.goto(given)
            assert page.url == f"{address}/approvals/{approval_id}"
            opened.person.until("Signed in.")
            opened.stop()
    assert "Traceback" not in opened.person.shown and "rror" not in opened.person.shown
    assert sorted(path.suffix for path in database.parent.glob("*.html")) == []


@pytest.mark.parametrize("served", ["by itself", "by a server"])
def test_a_link_that_is_voided_before_it_is_used_is_told_and_nobody_has_signed_in(database: Path, served: str) -> None:
    with http_server(database) if served == "by a server" else nullcontext(), opening(database) as opened:
        opened.page()
        assert run(database, "inbox", "--sign-out").stdout == "0 sessions ended.\n"
        opened.person.until("The link was not used: all sessions were ended meanwhile")
        if served == "by itself":
            opened.stop()
        else:
            assert opened.person.finish() == 2
    assert "Signed in." not in opened.person.shown


@pytest.mark.parametrize("served", ["by itself", "by a server"])
def test_a_browser_that_stays_in_the_foreground_is_answered_and_is_not_waited_for(database: Path, served: str) -> None:
    browser = database.with_name("foreground.py")
    browser.write_text("""
import re, sys
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

page = Path(urlsplit(sys.argv[1]).path).read_text()
address, code = re.search(r"(http://[^/]+)/sign-in#([\\w-]+)", page).groups()
data = urlencode({"code": code}).encode()
urlopen(Request(f"{address}/sign-in", data, {"origin": address}))
sys.stdin.read()
""")
    variables = {"BROWSER": f"{sys.executable} {browser} %s"}
    command = launcher("--db", str(database), "inbox")
    with http_server(database) if served == "by a server" else nullcontext():
        before = time.monotonic()
        with terminal(command, variables=variables) as person:
            person.until("Signed in.")
            since = time.monotonic()
            if served == "by itself":
                person.process.send_signal(signal.SIGINT)
            assert person.process.wait(PATIENCE) == 0
            assert time.monotonic() - since < promptly(since - before)


async def test_beside_the_browser_a_command_is_told_that_prints_a_link_to_the_same_page(database: Path) -> None:
    approval_id = await asked_for(database, "Lunch")
    with opening(database, approval_id) as opened:
        opened.page()
        [command] = re.findall(r"If the page stays empty, run: (.+)", opened.person.shown)
        with terminal(["sh", "-c", command]) as elsewhere:
            assert elsewhere.finish() == 0
        assert f"{await inbox_of(database)}/sign-in?next=/approvals/{approval_id}#" in elsewhere.shown


def test_inbox_with_an_id_that_is_none_says_so(database: Path) -> None:
    with opening(database, "apr_" + "0" * 26) as opened:
        assert opened.person.finish() == 2
    assert not opened.given.exists()


@pytest.mark.parametrize("how", ["SIGTERM", "end of input"])
async def test_a_server_on_stdio_ends_in_time_beside_a_page_that_is_open(database: Path, how: str) -> None:
    async with stdio(database) as client:
        await inbox_of(database)
        async with watching(database) as page:
            async with page.expect_response("**/live"):
                await page.reload()
            since = time.monotonic()
            if how == "SIGTERM":
                client.process.send_signal(signal.SIGTERM)
            else:
                assert client.process.stdin is not None
                await client.process.stdin.aclose()
            with anyio.fail_after(PATIENCE):
                assert await client.process.wait() == 0
            assert time.monotonic() - since < promptly(client.starting)
            await expect(page.locator("#news")).to_contain_text("The connection is lost.")
