"""From an agent's wish to the person's word and back, with real processes on both sides of a real browser."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from inboxes import inbox_of, opening, visitor
from mcp import Client
from playwright.async_api import Page, expect
from terminal import at_terminal, run
from web.rig import browser
from wires import PROTOCOLS, connect, content

pytestmark = pytest.mark.anyio

EXPENSE = {"amount": 129.9, "currency": "EUR", "description": "Train to the customer in Lyon"}
EDITED = EXPENSE | {"amount": 99.5}
LINK = re.compile(r"http://localhost:\d+/sign-in(?:\?next=/)?#\S+")
ENDPOINT = re.compile(r"http://localhost:\d+/mcp")


@asynccontextmanager
async def asking(agent: Client) -> AsyncGenerator[list[Mapping[str, Any]]]:
    """The agent submits and waits; the list has what it submitted and then, after the block, what its call returned."""
    told = [content(await agent.call_tool("submit-expense", EXPENSE))]

    async def wait() -> None:
        told.append(content(await agent.call_tool("wait-for-approval", {"id": told[0]["id"], "timeout_seconds": 300})))

    with anyio.fail_after(60):  # and not after the 300 seconds that the call may wait
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            yield told


async def edit_and_approve(page: Page) -> None:
    """What a person does on the page that was open before anything was asked."""
    await page.get_by_role("link", name="Expense: 129.90 EUR").click()
    await page.get_by_role("link", name="Edit …").click()
    await page.get_by_label("amount").fill("99.5")
    await page.get_by_label("Why").fill("The slow train is fast enough.")
    await page.get_by_role("button", name="Show the change").click()
    await expect(page.locator(".difference")).to_contain_text("99.5")
    await page.get_by_role("button", name="Save as revision 2").click()
    await page.get_by_label("Comment").fill("Have a good trip.")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="How it ended")).to_be_visible()


def check(database: Path, address: str, told: list[Mapping[str, Any]]) -> None:
    """The call has returned what the person made of it, and the evidence says so too."""
    submitted, returned = told
    assert submitted["url"] == returned["url"] == f"{address}/approvals/{submitted['id']}"
    assert (returned["status"], returned["revision"], returned["payload"]) == ("approved", 2, EDITED)
    assert returned["digest"] != submitted["digest"]
    [decision] = returned["decisions"]
    assert (decision["comment"], decision["assurance"]) == ("Have a good trip.", "local")
    verified = run(database, "audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert list(database.parent.glob("*.html")) == []


async def test_over_http_a_page_that_is_open_shows_what_is_asked_and_the_call_returns_what_was_made_of_it(
    tmp_path: Path,
) -> None:
    database = tmp_path / "hitl.db"
    async with browser() as chromium, visitor(chromium) as page:
        with at_terminal(database, "serve", "--port", "0") as server:
            shown = server.until("Stop with Ctrl-C.")
            link, endpoint = LINK.findall(shown)[0], ENDPOINT.findall(shown)[0]
            await page.goto(link)
            await expect(page.get_by_text("Nothing is pending")).to_be_visible()
            assert "#" not in page.url
            async with connect(endpoint, PROTOCOLS[-1]) as agent, asking(agent) as told:
                await edit_and_approve(page)
            server.process.terminate()
            assert server.finish() == 0
    check(database, link.partition("/sign-in")[0], told)


async def test_the_same_beside_a_server_that_a_client_has_started_on_stdio(tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    async with browser() as chromium, visitor(chromium) as page, connect(database, PROTOCOLS[0]) as agent:
        address = await inbox_of(database)
        with opening(database) as opened:
            given = opened.page()
            assert given.startswith("file:///")
            await page.goto(given)
            await expect(page.get_by_text("Nothing is pending")).to_be_visible()
            assert opened.person.finish() == 0
            assert opened.person.shown.endswith("Signed in.\n")
        async with asking(agent) as told:
            await edit_and_approve(page)
    check(database, address, told)
