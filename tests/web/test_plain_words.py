"""What a page says when something is not as it should be, and what it does not do by mistake."""

import re

import anyio
import pytest
from playwright.async_api import Browser, Route, expect
from web.rig import ANA, Place, person

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance

pytestmark = pytest.mark.anyio


async def edited(place: Place, approval: Approval, amount: float) -> None:
    held = await place.now(approval)
    await place.desk.approvals.edit(ANA, Shown.of(held), held.payload | {"amount": amount}, assurance=Assurance.LOCAL)


async def test_a_change_that_was_typed_while_another_was_asked_about_is_not_saved_with_it(
    chromium: Browser, place: Place
) -> None:
    approval = await place.ask()
    asked, go_on = anyio.Event(), anyio.Event()

    async def slowly(route: Route) -> None:
        asked.set()
        await go_on.wait()
        await route.continue_()

    async with person(chromium, place, f"/approvals/{approval.id}/edit") as page:
        await page.route("**/edit", slowly, times=1)
        await page.get_by_label("amount").fill("9")
        await page.get_by_role("button", name="Show the change").click()
        await asked.wait()
        await page.get_by_label("amount").fill("900")
        async with page.expect_response("**/edit"):
            go_on.set()
        show = page.get_by_role("button", name="Show the change")
        await expect(show).to_be_enabled()
        await expect(page.locator(".difference")).to_be_hidden()
        await show.click()
        await expect(page.locator(".difference")).to_contain_text(re.compile(r"amount\s*129\.9\s*900"))
        await expect(page.get_by_role("button", name="Save as revision 2")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Changed by people")).to_be_visible()
    assert (await place.now(approval)).payload["amount"] == 900


async def test_an_answer_that_cannot_be_read_and_one_that_never_comes_are_told_for_what_they_are(
    chromium: Browser, place: Place
) -> None:
    approval = await place.ask()
    async with person(chromium, place, f"/approvals/{approval.id}", refused=True) as page:
        said = page.locator(".decide .said").first

        async def broken(route: Route) -> None:
            await route.fulfill(status=500, body="Internal Server Error")

        async def lost(route: Route) -> None:
            await route.fetch()  # it does arrive, and its answer does not
            await route.abort()

        await page.route("**/decide", broken, times=1)
        await page.get_by_role("button", name="Approve").click()
        await expect(said).to_contain_text("The inbox could not do this (500). It is not known")
        await page.route("**/decide", lost, times=1)
        await page.get_by_role("button", name="Approve").click()
        await expect(said).to_contain_text("does not answer. It is not known whether it was recorded")
    assert (await place.now(approval)).status.value == "approved"


async def test_an_edit_of_what_stands_on_an_earlier_page_is_not_something_new(chromium: Browser, place: Place) -> None:
    asked = [
        await place.ask(payload={"amount": 1 + number, "currency": "EUR", "description": "Taxi"})
        for number in range(52)
    ]
    async with person(chromium, place, "/") as page:
        await page.get_by_role("link", name="More").click()
        rows = page.locator("#list tbody tr")
        await expect(rows).to_have_count(2)
        await edited(place, asked[0], 1_000)
        new = await place.ask(payload={"amount": 7.5, "currency": "EUR", "description": "Tram"})
        await expect(page.locator(f"#{new.id}")).to_be_visible()
        await expect(rows).to_have_count(3)
        await page.goto(f"{place.address}/?text=taxi&cursor={asked[49].id}")
        await page.get_by_role("link", name="From the start").click()
        await expect(page.get_by_label("Search")).to_have_value("taxi")


async def test_a_page_at_an_address_where_nobody_signed_in_says_that_it_decides_nothing(
    chromium: Browser, place: Place
) -> None:
    approval = await place.ask()
    async with person(chromium, place, f"/approvals/{approval.id}") as page:
        await page.evaluate("localStorage.clear()")
        await page.reload()
        await expect(page.get_by_role("status").filter(has_text="you can look, and decide nothing")).to_be_visible()


async def test_a_question_is_asked_in_words_and_answered(chromium: Browser, place: Place) -> None:
    form = {"properties": {"colour": {"type": "string", "title": "Colour", "enum": ["red", "blue"]}}}
    question = await place.ask("question", {"question": "Which colour?", "form": form | {"required": ["colour"]}})
    async with person(chromium, place, f"/approvals/{question.id}") as page:
        await expect(page.locator(".payload").first).to_contain_text("Which colour?")
        await expect(page.locator(".payload").first).not_to_contain_text("properties")
        await page.get_by_label("blue").check()
        await page.get_by_role("button", name="Send the answer").click()
        await expect(page.get_by_role("heading", name="How it ended")).to_be_visible()
    assert (await place.now(question)).answer == {"colour": "blue"}


async def test_a_button_that_decides_takes_no_click_in_the_moment_in_which_it_comes_up(
    chromium: Browser, place: Place
) -> None:
    approval = await place.ask()
    async with person(chromium, place, f"/approvals/{approval.id}") as page:
        approve = page.get_by_role("button", name="Approve")
        await approve.scroll_into_view_if_needed()
        box = await approve.bounding_box()
        assert box is not None
        at = {"x": box["x"] + 5, "y": box["y"] + 5}
        under = "([x, y]) => { dispatchEvent(new Event('focus')); return document.elementFromPoint(x, y).name ?? ''; }"
        assert await page.evaluate(under, [at["x"], at["y"]]) != "verdict"
        await approve.click()  # which waits until it takes clicks again
        await expect(page.get_by_role("heading", name="How it ended")).to_be_visible()


async def test_until_its_scripts_are_there_a_page_takes_no_click_that_decides(chromium: Browser, place: Place) -> None:
    approval = await place.ask()
    go_on = anyio.Event()

    async def late(route: Route) -> None:
        await go_on.wait()
        await route.continue_()

    async with person(chromium, place) as page:
        await page.route("**/assets/*/keys.js", late)
        await page.goto(f"{place.address}/approvals/{approval.id}", wait_until="commit")
        approve = page.get_by_role("button", name="Approve")
        await approve.click(force=True)  # which goes to nothing, and not on to another page
        go_on.set()
        await approve.click()
        await expect(page.get_by_role("heading", name="How it ended")).to_be_visible()
