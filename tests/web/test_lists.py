"""The lists in a real browser: they follow what happens, find, turn pages, and take keys."""

import re

import pytest
from asked import lunch
from playwright.async_api import Browser, Page, expect
from web.rig import ANA, Place, decide, lunches, person

from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK, Established, Principal

pytestmark = pytest.mark.anyio

BOT = Principal("os:bot", Established.OS_USER)


async def titles(page: Page) -> list[str]:
    """What the list shows, from the top."""
    return [text.partition(" for ")[2] for text in await page.locator("tbody .what a").all_inner_texts()]


async def test_what_is_decided_elsewhere_is_struck_through_in_its_place_and_the_total_follows(
    chromium: Browser, place: Place
) -> None:
    asked = await lunches(place, 3)
    async with person(chromium, place) as page:
        await expect(page.locator("#total")).to_have_text("3")
        await page.evaluate("window.same = 1")
        await page.get_by_label(re.compile("^Choose: .*Lunch 2")).check()
        await expect(page.locator("#chosen-count")).to_have_text("1")
        await decide(place, asked[1])
        gone = page.locator("tr.gone")
        await expect(gone).to_contain_text("Lunch 2")
        await expect(gone.locator(".status")).to_have_text("approved")
        await expect(gone.locator("input")).to_have_count(0)
        await expect(page.locator("#chosen")).to_be_hidden()
        await expect(page.locator("#total")).to_have_text("2")
        await lunches(place, 1, first=4)
        await expect(page.locator("tbody tr")).to_have_count(4)
        assert await titles(page) == ["Lunch 1", "Lunch 2", "Lunch 3", "Lunch 4"]
        assert await page.evaluate("window.same") == 1  # without a reload


async def test_an_edit_elsewhere_is_shown_in_place_and_keeps_the_place_of_whoever_goes_by_keys(
    chromium: Browser, place: Place
) -> None:
    asked = await lunches(place, 2)
    async with person(chromium, place) as page:
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await expect(page.locator("tr.here a")).to_be_focused()
        await place.desk.approvals.edit(
            ANA, Shown.of(asked[1]), lunch(amount=77, description="Lunch 2"), assurance=Assurance.LOCAL
        )
        await expect(page.locator(f"#{asked[1].id}")).to_contain_text("revision 2")
        await expect(page.locator(f"#{asked[1].id} .stake")).to_have_text("77 USD")
        await expect(page.locator("tr.here")).to_contain_text("Lunch 2")
        await expect(page.locator("tr.here a")).to_be_focused()


async def test_sixty_are_two_pages_and_searches_and_filters_narrow_them(chromium: Browser, place: Place) -> None:
    await lunches(place, 60)
    await place.desk.approvals.submit(BOT, "action", {"send": "the newsletter"}, claim="Newsletter")
    async with person(chromium, place) as page:
        await expect(page.locator("#total")).to_have_text("61")
        await expect(page.locator("tbody tr")).to_have_count(50)
        async with page.expect_navigation():
            await page.get_by_role("link", name="More").click()
        await expect(page.locator("tbody tr")).to_have_count(11)
        async with page.expect_navigation():
            await page.get_by_role("link", name="From the start").click()
        await expect(page.locator("tbody tr")).to_have_count(50)
        await page.keyboard.press("/")
        await page.keyboard.type("newsletter")
        await page.keyboard.press("Enter")
        await expect(page.locator("tbody tr")).to_have_count(1)
        assert "text=newsletter" in page.url
        await lunches(place, 1, first=61)
        await expect(page.locator("#news")).to_contain_text("It may fit your search")
        async with page.expect_navigation():
            await page.get_by_role("link", name="Clear").click()
        await page.get_by_label("Kind").select_option("action")
        async with page.expect_navigation():
            await page.get_by_role("button", name="Find").click()
        await expect(page.locator("tbody tr")).to_have_count(1)
        await lunches(place, 1, first=62)
        await place.desk.approvals.submit(BOT, "action", {"send": "another"}, claim="Another letter")
        await expect(page.locator("tbody tr")).to_have_count(2)  # what does not fit the filter stays away
        await page.get_by_label("Kind").select_option("")
        await page.get_by_label("Asked by").select_option("os:bot")
        async with page.expect_navigation():
            await page.get_by_role("button", name="Find").click()
        await expect(page.locator("tbody tr")).to_have_count(2)
        await page.goto(f"{place.address}/?text=nowhere")
        await expect(page.get_by_text("Nothing that is pending fits this search.")).to_be_visible()


async def test_a_list_is_gone_through_with_keys_and_none_of_them_decides(chromium: Browser, place: Place) -> None:
    asked = await lunches(place, 3)
    async with person(chromium, place) as page:
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        for key, here in (("j", 1), ("j", 2), ("k", 1)):
            await page.keyboard.press(key)
            await expect(page.locator("tr.here")).to_contain_text(f"Lunch {here}")
        await page.keyboard.press("x")
        await expect(page.locator("tr.here input")).to_be_checked()
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{place.address}/approvals/{asked[0].id}")
        await page.keyboard.press("n")
        await page.wait_for_url(f"{place.address}/approvals/{asked[1].id}")
        await page.keyboard.press("d")
        await expect(page.get_by_label("Comment")).to_be_focused()
        await page.keyboard.type("jkxndu?")
        await expect(page.get_by_label("Comment")).to_have_value("jkxndu?")
        await page.keyboard.press("Escape")
        await page.keyboard.press("u")
        await page.wait_for_url(f"{place.address}/")
    assert {(await place.now(one)).status.value for one in asked} == {"pending"}


async def test_a_stop_is_told_on_the_list_and_where_somebody_tries_to_decide(chromium: Browser, place: Place) -> None:
    [approval] = await lunches(place, 1)
    await place.desk.stops.pause(LOOPBACK)
    async with person(chromium, place, refused=True) as page:
        await expect(page.get_by_role("alert").first).to_contain_text("Everything is stopped")
        await page.goto(f"{place.address}/approvals/{approval.id}")
        await expect(page.locator("#decision")).to_contain_text("The emergency stop is on")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert (await place.now(approval)).status.value == "pending"


async def test_the_history_finds_by_ending_and_people_and_the_numbers_count_it(chromium: Browser, place: Place) -> None:
    asked = await lunches(place, 3)
    async with person(chromium, place) as page:
        await page.goto(f"{place.address}/history")
        await expect(page.get_by_text("Nothing has been decided here yet.")).to_be_visible()
        await decide(place, asked[0])
        await decide(place, asked[1], Verdict.REJECT, "No.")
        await place.desk.approvals.cancel(LOOPBACK, asked[2].id, None)
        await page.reload()
        await expect(page.locator("tbody tr")).to_have_count(3)
        for ending, what in (("approved", "Lunch 1"), ("rejected", "Lunch 2"), ("cancelled", "Lunch 3")):
            await page.get_by_label("Ended").select_option(ending)
            async with page.expect_navigation():
                await page.get_by_role("button", name="Find").click()
            await expect(page.locator("tbody tr")).to_have_count(1)
            assert await titles(page) == [what]
        await page.goto(f"{place.address}/history")
        await page.get_by_label("Decided by").fill("os:ana")
        async with page.expect_navigation():
            await page.get_by_role("button", name="Find").click()
        await expect(page.locator("tbody tr")).to_have_count(2)
        await page.get_by_role("link", name="Numbers").click()
        row = page.get_by_role("row", name=re.compile("^expense"))
        await expect(row).to_have_text(re.compile(r"expense\s*3\s*1\s*1\s*0\s*1"))
        await page.get_by_role("link", name="7 days").click()
        await expect(page.get_by_role("row", name=re.compile("^os:ana 2 1 1"))).to_be_visible()
