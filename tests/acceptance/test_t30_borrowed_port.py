"""T30: another account of this machine gets the inbox's port while nobody serves it, and gives it back."""

import os
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import pytest
from asked import ask, look
from borrower import ACCOUNT, attempts, borrower, need_another_account
from inboxes import inbox_of, opening
from playwright.async_api import BrowserContext, Page, expect
from server.rig import Pipes, pipes
from warm import warm
from web.rig import GUARD_SECONDS, browser
from wires import http_server, launcher

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import serve
from mcp_hitl.protocols.http import sockets
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.web.app import Inbox
from mcp_hitl.web.host import host_inbox

pytestmark = pytest.mark.anyio

PATIENCE = GUARD_SECONDS * 1000
"""Milliseconds: another process takes over and a page hears of it, on a machine that is busy."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


@asynccontextmanager
async def stdio(database: Path, start: Callable[..., list[str]] = launcher) -> AsyncGenerator[Pipes]:
    """A server that a client has started, and which is dead the moment it is killed."""
    async with pipes(database, start("--db", str(database))) as client:
        await client.shake_hands()
        yield client


async def kill(client: Pipes) -> None:
    """End a server as if its machine had lost its power."""
    client.process.send_signal(signal.SIGKILL)
    await client.process.wait()


async def signed_in(context: BrowserContext, database: Path) -> Page:
    """A page of somebody who has come in with `mcp-hitl inbox`, which follows what changes."""
    page = await context.new_page()
    with opening(database) as opened:
        given = await anyio.to_thread.run_sync(opened.page)
        async with page.expect_response("**/live"):
            await page.goto(given)
        await expect(page.get_by_role("link", name="Pending")).to_be_visible(timeout=PATIENCE)
        assert await anyio.to_thread.run_sync(opened.person.finish) == 0
    return page


@asynccontextmanager
async def person() -> AsyncGenerator[BrowserContext]:
    """A browser."""
    async with browser() as chromium:
        context = await chromium.new_context()
        context.set_default_timeout(GUARD_SECONDS * 1000)
        yield context
        await context.close()


@asynccontextmanager
async def standing_by(database: Path) -> AsyncGenerator[None]:
    """This process as one that may take over the inbox, once it keeps its port."""
    store = SqliteStore(database)
    desk = Desk(store, effects=EFFECTS)
    looks, kept = 0, anyio.Event()

    def look_again(address: Origin | None) -> None:
        nonlocal looks
        looks += address is not None
        if looks == 2:  # it has kept the port since it looked first
            kept.set()

    inbox = Inbox(desk, key=store.shared_key(), how="")
    try:
        async with serve(desk), anyio.create_task_group() as tasks:
            tasks.start_soon(partial(host_inbox, desk, inbox, elsewhere=look_again))
            with anyio.fail_after(GUARD_SECONDS):
                await kept.wait()
            yield
            tasks.cancel_scope.cancel()
    finally:
        await store.close()


def offered(port: int) -> int:
    """How many of its attempts to get a port succeed for another account."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setuid(ACCOUNT)
        os._exit(sum(attempts(port)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def decide_with(address: str, cookie: str, token: str, approval_id: str) -> None:
    """Do what whoever has the cookie and the token of a session can do."""
    headers = {"cookie": cookie, "x-inbox-token": token, "origin": address}
    async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=GUARD_SECONDS) as http:
        page = (await http.get(f"/approvals/{approval_id}")).text
        names = ("shown", "revision", "digest")
        fields = {name: page.partition(f'name="{name}" value="')[2].partition('"')[0] for name in names}
        await http.post(f"/approvals/{approval_id}/decide", data=fields | {"verdict": "approve", "comment": ""})


async def status(database: Path, approval_id: str) -> Status:
    """How the approval stands."""
    return (await anyio.to_thread.run_sync(look, database, approval_id)).status


async def test_t30_what_another_account_took_at_the_port_of_the_inbox_decides_nothing(database: Path) -> None:
    approval_id = await anyio.to_thread.run_sync(ask, database)
    async with person() as context:
        async with stdio(database) as first:
            was = await inbox_of(database)
            page = await signed_in(context, database)
            await kill(first)
        with borrower(Origin.parse(was).port) as other:
            other.until_it_listens()
            await page.goto(was)
            await expect(page).to_have_title("Taken", timeout=PATIENCE)
            sent = other.stop()
        async with stdio(database, warm):
            address = await inbox_of(database)
            [taken] = [one for one in sent if one["path"] == "/taken"]
            assert taken["cookie"] and taken["body"], "the attack is worth something"
            await decide_with(address, taken["cookie"], taken["body"], approval_id)
            assert await status(database, approval_id) is Status.PENDING

            # What the stranger left behind in the browser is still there; a new sign-in does not meet it.
            again = await signed_in(context, database)
            assert await again.evaluate("navigator.serviceWorker.controller") is None
            assert await again.evaluate("caches.keys()") == []
            await decide_with(address, taken["cookie"], await page.evaluate("localStorage['inbox-token']"), approval_id)
            assert await status(database, approval_id) is Status.PENDING
            await again.get_by_role("link", name="Lunch").click()
            await again.get_by_role("button", name="Approve").click()
            await expect(again.get_by_role("heading", name="How it ended")).to_be_visible(timeout=PATIENCE)
    assert await status(database, approval_id) is Status.APPROVED


async def test_t30_another_account_never_gets_the_port_while_one_process_is_left_that_can_take_over(
    database: Path,
) -> None:
    approval_id = await anyio.to_thread.run_sync(ask, database)
    async with person() as context, stdio(database) as first:
        address = await inbox_of(database)
        page = await signed_in(context, database)
        port = Origin.parse(address).port
        async with standing_by(database):
            with borrower(port) as other:
                await kill(first)
                await expect(page.locator("#news")).to_contain_text("The connection is lost.", timeout=PATIENCE)
                assert await inbox_of(database) == address
                await expect(page.locator("#news")).to_be_hidden(timeout=PATIENCE)
                assert other.stop() == [], "it has never listened"
            await page.get_by_role("link", name="Lunch").click()
            await page.get_by_role("button", name="Approve").click()
            await expect(page.get_by_role("heading", name="How it ended")).to_be_visible(timeout=PATIENCE)
    assert await status(database, approval_id) is Status.APPROVED


@pytest.mark.parametrize("listens", [True, False])
def test_t30_no_option_gives_another_account_a_port_that_is_kept(listens: bool) -> None:
    need_another_account()
    listening = sockets.shared("localhost")
    port = listening[0].getsockname()[1]
    kept = sockets.keep("localhost", port)
    if not listens:
        sockets.close(listening)
    assert offered(port) == 0
    sockets.close([*listening, *kept])
    assert offered(port) > 0, "the attempts are worth something"


async def test_t30_serve_has_the_inbox_where_nobody_was_before_it_although_its_own_port_is_always_the_same(
    database: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        named = str(free.getsockname()[1])
    found: list[str] = []
    for _ in range(2):
        with http_server(database, "--port", named, start=launcher) as (endpoint, _process):
            assert endpoint == f"http://localhost:{named}/mcp"
            found.append(await inbox_of(database))
            async with httpx2.AsyncClient() as http:
                answer = await http.get(endpoint.removesuffix("mcp"))
                assert (answer.status_code, answer.headers["location"]) == (307, found[-1])
    assert len({named, *(one.rpartition(":")[2] for one in found)}) == 3
