"""Several tabs, lost connections, and ways out, in a real browser."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, async_playwright, expect
from starlette.types import Message, Receive, Scope, Send
from web.attack import hear_nothing
from web.rig import ANA, Place, decide, lunches, person, serving
from web.rig import chromium as chromium_path

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.protocols.http.headers import SafeHeaders

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def tabs(page: Page, count: int) -> AsyncGenerator[list[Page]]:
    """More tabs of the same browser."""
    opened = [await page.context.new_page() for _ in range(count)]
    for tab in opened:
        await tab.goto(re.sub("(//[^/]+/).*", r"\1", page.url))
    yield opened


async def test_the_tabs_of_a_browser_share_one_stream_and_hand_it_on_when_its_tab_is_closed(
    chromium: Browser, place: Place
) -> None:
    streams: list[Page] = []
    async with person(chromium, place) as page, tabs(page, 3) as others:

        def note(request: Any) -> None:
            if request.url.endswith("/live"):
                streams.append(request.frame.page)

        page.context.on("request", note)
        await page.reload()
        pages = [page, *others]
        for n in (1, 2):
            await lunches(place, 1, first=n)
            for each in pages:
                await expect(each.get_by_role("link", name=f"Lunch {n}")).to_be_visible()
        async with page.context.expect_event("request", lambda request: request.url.endswith("/live")) as handed:
            leader = others.pop(0)  # the reload above handed the stream to the tab that had waited longest
            await leader.close()
        assert (await handed.value).frame.page in pages
        pages.remove(leader)
        await lunches(place, 1, first=3)
        for each in pages:
            await expect(each.get_by_role("link", name="Lunch 3")).to_be_visible()


async def test_what_happens_while_the_stream_is_handed_on_reaches_every_tab(chromium: Browser, place: Place) -> None:
    happened = asyncio.Event()

    async def later(route: Route) -> None:
        await happened.wait()
        await route.continue_()

    async with person(chromium, place) as page, tabs(page, 1) as [other]:
        await page.context.route("**/live", later)
        async with page.context.expect_event("request", lambda request: request.url.endswith("/live")):
            await page.reload()
        await lunches(place, 1)
        happened.set()
        for each in (page, other):
            await expect(each.get_by_role("link", name="Lunch 1")).to_be_visible()


async def test_a_page_that_cannot_fetch_what_it_became_stays_as_it_is(chromium: Browser, place: Place) -> None:
    approval = await place.ask("action", {"do": "it"})
    await decide(place, approval, Verdict.REJECT)
    async with person(chromium, place, f"/approvals/{approval.id}", refused=True) as page:
        await page.route(page.url, lambda route: route.abort())
        async with page.expect_event("requestfailed", lambda request: request.url == page.url):
            await place.desk.decisions.lift_cooldown(ANA, approval.id, assurance=Assurance.LOCAL)
        await page.unroute(page.url)
        await page.reload()
        await expect(page.get_by_text("So be it.").first).to_be_visible()


_CUT_OFF = """() => {
  const whole = window.fetch;
  window.fetch = async (...asked) => {
    if (!String(asked[0]).startsWith("/changes")) return whole(...asked);
    document.body.dataset.cut = (document.body.dataset.cut ?? "") + "!";
    return new Response(new ReadableStream({ start: (answer) => answer.error(new TypeError("Failed to fetch")) }));
  };
}"""
"""A server that dies within its answer: the browser has the headers, and the body fails."""


async def test_a_page_whose_server_dies_in_the_middle_of_an_answer_stays_as_it_is(
    chromium: Browser, place: Place
) -> None:
    async with person(chromium, place) as page:  # an error that nobody catches fails the test
        await page.evaluate(_CUT_OFF)
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        await expect(page.locator("body[data-cut]")).to_be_attached()
        await lunches(place, 1, first=7)
        await expect(page.get_by_role("link", name="Lunch 7")).to_be_visible()


async def test_a_connection_that_is_lost_is_told_and_caught_up_with(chromium: Browser, tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    async with serving(database) as place:
        port = int(place.address.rpartition(":")[2])
        asked = await lunches(place, 2)
        context = await chromium.new_context()
        page = await context.new_page()
        await page.goto(await place.link())
        await expect(page.locator("tbody tr")).to_have_count(2)
        async with page.expect_response("**/live"):
            await page.reload()
        await page.evaluate("window.same = 1")
    await expect(page.locator("#news")).to_contain_text("The connection is lost.")
    async with serving(database, port=port) as place:
        await decide(place, asked[0])
        await lunches(place, 1, first=3)
        await expect(page.locator("tr.gone")).to_contain_text("Lunch 1", timeout=20_000)
        await expect(page.get_by_role("link", name="Lunch 3")).to_be_visible()
        await expect(page.locator("#news")).to_be_hidden()
        assert await page.evaluate("window.same") == 1  # without a reload
        await context.close()


async def test_the_back_button_shows_what_is_so_now(chromium: Browser, place: Place) -> None:
    asked = await lunches(place, 2)
    async with person(chromium, place) as page:
        await page.get_by_role("link", name="Lunch 1").click()
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_text("Outcome: succeeded")).to_be_visible()  # after which the page rests
        await decide(place, asked[1])
        await page.go_back()
        await expect(page.get_by_role("heading", name="Pending 0")).to_be_visible()
        await expect(page.locator("tbody tr:not(.gone)")).to_have_count(0)
    assert (await place.now(asked[0])).status is Status.APPROVED


@pytest.fixture
async def remembering(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Browser]:
    """A Chromium that keeps the pages that somebody goes on from, and shows them again as they were.

    Playwright turns that off; and Chromium does it with no page that says `no-store`, as ours do. Other browsers may.
    """
    plain = SafeHeaders.__call__

    async def storable(headers: SafeHeaders, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(name, value.replace(b"no-store", b"")) for name, value in message["headers"]]
            await send(message)

        await plain(headers, scope, receive, sending)

    monkeypatch.setattr(SafeHeaders, "__call__", storable)
    path = chromium_path(whole=True)
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"], ignore_default_args=["--disable-back-forward-cache"]
        )
        try:
            yield running
        finally:
            await running.close()


async def test_a_page_that_the_browser_has_kept_catches_up_and_follows_again(
    remembering: Browser, place: Place
) -> None:
    asked = await lunches(place, 2)
    async with person(remembering, place) as page:
        await page.evaluate("window.same = 1; addEventListener('pageshow', (event) => window.kept = event.persisted)")
        await page.get_by_label("Choose: Expense: 2").check()
        await page.get_by_role("link", name="Evidence").click()
        await page.get_by_role("heading", name="Evidence").wait_for()
        await decide(place, asked[0])
        await lunches(place, 1, first=3)
        await page.go_back(wait_until="commit")
        await expect(page.locator("tr.gone")).to_contain_text("Lunch 1")
        await expect(page.get_by_role("link", name="Lunch 3")).to_be_visible()
        assert await page.evaluate("[window.same, window.kept]") == [1, True]
        await expect(page.locator("#chosen-count")).to_have_text("1")
        await lunches(place, 1, first=4)
        await expect(page.get_by_role("link", name="Lunch 4")).to_be_visible()
        assert await page.evaluate("window.same") == 1


async def test_a_page_that_was_kept_without_a_stream_asks_what_it_missed(chromium: Browser, place: Place) -> None:
    """The event is sent by the test: what Chromium keeps, it also passes on to when the page is shown again."""
    asked = await lunches(place, 1)
    async with person(chromium, place, refused=True) as page:
        await hear_nothing(page)
        await page.reload()
        await expect(page.locator("#news")).to_contain_text("The connection is lost.")
        await decide(place, asked[0])
        await page.unroute("**/changes?*")
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        await expect(page.locator("tr.gone")).to_contain_text("Lunch 1")


async def test_without_javascript_the_sign_in_says_that_it_is_needed(chromium: Browser, place: Place) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(place.address)
    await expect(page.locator("noscript")).to_be_visible()
    assert "This inbox needs JavaScript" in await page.content()
    await context.close()


async def test_signing_out_shows_nothing_any_more_in_any_tab(chromium: Browser, place: Place) -> None:
    await lunches(place, 1)
    async with person(chromium, place, refused=True) as page, tabs(page, 1) as [other]:
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
        await page.goto(place.address + "/history")
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        # A new link opens the inbox in the tab that waits, too.
        await page.goto(await place.link())
        await expect(page.get_by_role("link", name="Lunch 1")).to_be_visible()
        await expect(other.get_by_role("link", name="Lunch 1")).to_be_visible()
