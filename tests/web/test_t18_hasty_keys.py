"""T18: no key decides; a decision is always a button that a person presses."""

import pytest
from playwright.async_api import Browser, Page, expect
from web.attack import standing
from web.rig import ANA, Place, person

pytestmark = pytest.mark.anyio

FORM = {
    "properties": {
        "text": {"type": "string", "maxLength": 20, "default": "as ever"},
        "number": {"type": "number", "default": 1},
        "day": {"type": "string", "format": "date", "default": "2026-11-22"},
        "one": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "several": {"type": "array", "items": {"enum": ["c", "d"]}},
        "long": {"type": "string", "enum": list("abcdefgh"), "default": "a"},
        "yes": {"type": "boolean", "default": True},
    }
}


async def every_field(page: Page, within: str) -> None:
    """Press Enter in every field."""
    fields = await page.locator(f"{within} :is(input:not([type=hidden]), select, textarea)").all()
    assert fields
    for field in fields:
        await field.focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Escape")


async def test_t18_enter_in_a_field_decides_nothing(chromium: Browser, place: Place) -> None:
    question = await place.desk.approvals.submit(ANA, "question", {"question": "Where to?", "form": FORM})
    action = await place.desk.approvals.submit(ANA, "action", {"n": 1})
    before = await standing(place)
    async with person(chromium, place, f"/approvals/{question.id}") as page:
        await page.locator("summary", has_text="Take it back").click()
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.method))
        await every_field(page, "#decision")
        await page.keyboard.press("d")
        await page.keyboard.press("Enter")
        await page.goto(f"{place.address}/batch?id={action.id}")
        await every_field(page, ".batch")
        await expect(page.get_by_role("button", name="Approve 1")).to_be_enabled()
        assert "POST" not in sent
        [entered] = [await standing(place)]
    assert entered[0] == before[0] + 1, "somebody signed in, and nothing else happened"
