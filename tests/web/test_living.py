"""From an agent's wish to the person's word, in a real browser."""

import pytest
from playwright.async_api import Browser, expect
from web.rig import Place, person

pytestmark = pytest.mark.anyio


async def test_what_is_asked_appears_on_a_page_that_is_open_and_is_approved_there(
    chromium: Browser, place: Place
) -> None:
    async with person(chromium, place) as page:
        await expect(page.get_by_text("Nothing is pending")).to_be_visible()
        approval = await place.ask()
        await page.get_by_role("link", name="Expense: 129.90 EUR").click()
        await page.get_by_label("Comment").fill("Have a good trip.")
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_role("heading", name="How it ended")).to_be_visible()
    decided = await place.now(approval)
    assert decided.status.value == "approved"
    [decision] = decided.decisions
    assert (decision.approver, decision.comment, decision.assurance.value) == ("os:ana", "Have a good trip.", "local")
    assert decision.established == "sign-in-link"
