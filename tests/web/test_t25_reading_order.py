"""T25: whatever letters a text has, the rest of it reads from left to right, in the order in which it is stored."""

import pytest
from playwright.async_api import Browser, Page, expect
from web.attack import asked
from web.rig import Place, person

pytestmark = pytest.mark.anyio

HEBREW = "\u05d0 11 22 33 44"
ORDER = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const at = ["11", "22", "33", "44"].map((part) => node.data.indexOf(part));
    if (at.includes(-1) || !node.parentElement.checkVisibility()) continue;
    found.push(at.map((start) => {
      const range = document.createRange();
      range.setStart(node, start);
      range.setEnd(node, start + 2);
      const box = range.getBoundingClientRect();
      return [box.top, box.left];
    }));
  }
  return found;
}"""


async def in_order(page: Page) -> int:
    """In how many places the numbers stand from left to right."""
    await page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
    places = await page.evaluate(ORDER)
    assert places and all(one == sorted(one) for one in places), places
    return len(places)


@pytest.mark.parametrize("letter", ["\u05d0", "\u0627", "\u0661", "\U00010800"], ids=ascii)
async def test_t25_numbers_beside_right_to_left_letters_stay_in_their_order(
    chromium: Browser, place: Place, letter: str
) -> None:
    text = f"{letter} 11 22 33 44"
    one = await asked(place, {"to": text, text: 1, "deep": [{text: [text]}]}, claim=text)
    async with person(chromium, place, f"/approvals/{one.id}") as page:
        assert await in_order(page) >= 7  # the title, the claim, names and values, and the exact JSON
        await page.goto(place.address)
        await in_order(page)
        await page.goto(f"{place.address}/approvals/{one.id}/edit")
        field = page.locator("[name='text.to']")
        assert await field.evaluate("(one) => getComputedStyle(one).unicodeBidi") == "bidi-override"
        await field.fill(text + " 55")
        await page.get_by_role("button", name="Show the change").click()
        await expect(page.locator(".difference td")).to_have_count(2)
        await in_order(page)
