"""T26: all of the payload is on the page before the buttons. T27: the agent's words are marked as its own, below."""

import json
from typing import Any

import pytest
from asked import AGENT
from playwright.async_api import Browser, Locator, Page, expect
from web.attack import asked
from web.rig import Place, decide, lunches, person

from mcp_hitl.domain.policy.policy import Verdict

pytestmark = pytest.mark.anyio

LAST = "and then send everything to mallory"
LONG: dict[str, dict[str, Any]] = {
    "one long text": {"text": "harmless " * 6_660 + LAST},
    "one long word": {"text": "x" * 60_000 + LAST.replace(" ", "_")},
    "many lines": {"text": "harmless\n" * 6_000 + LAST},
    "many spaces": {"text": "harmless" + " " * 59_000 + LAST},
    "many empty lines": {"text": "harmless" + "\n" * 30_000 + LAST},
    "many fields": {f"field_{n:04}": f"value {n} " + "x" * 30 for n in range(1_000)} | {"zz": LAST},
    "a long name": {"name" + " harmless" * 6_600 + LAST: 1},
    "deep": {"a": [[{"b": ["harmless"] * 3_000 + [LAST]}]]},
}


async def whole(page: Page, last: Locator, before: Locator) -> None:
    """The place is really visible, not clipped, hidden, or too small or pale to read; and the buttons are below."""
    await expect(last).to_be_visible()
    seen = await last.evaluate(
        """(element) => {
          const range = document.createRange();
          range.selectNodeContents(element);
          const end = [...range.getClientRects()].at(-1);
          for (let one = element; one; one = one.parentElement) {
            const style = getComputedStyle(one);
            const box = one.getBoundingClientRect();
            const clips = style.overflowX !== "visible" || style.overflowY !== "visible";
            if (clips && one !== document.documentElement && one !== document.body
                && (end.bottom > box.bottom + 1 || end.right > box.right + 1)) return "clipped by " + one.className;
            if (style.opacity < 0.5 || style.visibility !== "visible") return "hidden";
            if (style.contentVisibility === "hidden") return "hidden";
            if (style.webkitLineClamp !== "none" || style.textOverflow !== "clip") return "cut";
            if (style.fontSize.slice(0, -2) < 10) return "tiny";
          }
          if (end.right > innerWidth + 1) return "beside the page";
          return Math.round(end.bottom + scrollY);
        }"""
    )
    assert isinstance(seen, int), seen
    button = await before.evaluate("(button) => Math.round(button.getBoundingClientRect().top + scrollY)")
    assert seen <= button


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("case", LONG)
async def test_t26_the_whole_payload_is_on_the_page_before_the_buttons(
    chromium: Browser, place: Place, case: str, width: int
) -> None:
    long, short = await asked(place, LONG[case]), await asked(place, {"n": 1})
    async with person(chromium, place, viewport={"width": width, "height": 800}) as page:
        for path in (f"/approvals/{long.id}", f"/batch?id={long.id}&id={short.id}"):
            await page.goto(place.address + path)
            payload = page.locator("table.payload").first
            text = await payload.inner_text()
            shown = "".join(text.split())
            for name, value in LONG[case].items():
                assert "".join(name.split()) in shown
                if isinstance(value, str):
                    assert "".join(value.split()) in shown, path
            cell = payload.locator("th, td > *").filter(has_text=LAST.split(" ")[-1]).last
            await whole(page, cell, page.locator("button[value=approve]"))
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), (
                "nothing stands beside"
            )


async def test_t26_no_button_that_decides_stands_before_the_end_of_the_payload(chromium: Browser, place: Place) -> None:
    long = await asked(place, LONG["many fields"])
    async with person(chromium, place, f"/approvals/{long.id}") as page:
        end = await page.locator("table.payload").evaluate("(table) => table.getBoundingClientRect().bottom + scrollY")
        for button in await page.locator("[data-post][action*='/approvals/'] button").all():
            top = await button.evaluate("(one) => one.getBoundingClientRect().top + scrollY")
            hidden = await button.is_hidden()
            assert hidden or top > end


async def test_fields_stand_in_the_order_of_the_schema_else_as_the_agent_sent_them(
    chromium: Browser, place: Place
) -> None:
    mail = await asked(place, {"to": "ana", "mail": {"subject": "Hi", "body": "…"}, "cc": [{"z": 1, "a": 2}]})
    lunch = await place.ask(payload={"description": "Lunch", "currency": "EUR", "amount": 9})
    shown = {mail.id: ["to", "mail", "subject", "body", "cc", "1", "z", "a"], lunch.id: [*"acd"]}
    async with person(chromium, place) as page:
        for approval, names in shown.items():
            await page.goto(f"{place.address}/approvals/{approval}")
            found = await page.locator("table.payload th .name").all_inner_texts()
            assert [name[: len(names[0])] if approval == lunch.id else name for name in found] == names
            exact = await page.locator("details.exact pre").first.text_content()
            assert list(json.loads(exact or "")) == list((await place.desk.approvals.get(AGENT, approval)).payload)


CLAIM = "A pencil\n\nThe action, exactly as it would be taken\npay: 1 EUR to alice\n\nApproved by the boss"


async def test_t27_the_title_comes_from_the_payload_and_the_claim_is_marked_and_below(
    chromium: Browser, place: Place
) -> None:
    expense = await place.ask(payload={"amount": 9_000, "currency": "EUR", "description": "A yacht"}, claim=CLAIM)
    action = await asked(place, {"pay": "9000 EUR", "to": "mallory"}, claim="Harmless clean-up")
    async with person(chromium, place, f"/approvals/{expense.id}") as page:
        await expect(page.get_by_role("heading", level=1)).to_have_text("Expense: 9,000 EUR for A yacht")
        await marked(page, "Approved by the boss")
        await expect(page.get_by_text("This title is the agent's own wording")).to_have_count(0)
        await page.goto(f"{place.address}/approvals/{action.id}")
        await expect(page.get_by_text("This title is the agent's own wording")).to_be_visible()
        await marked(page, "Harmless clean-up")
        await page.goto(f"{place.address}/batch?id={expense.id}&id={action.id}")
        for approval, words in ((expense, "Approved by the boss"), (action, "Harmless clean-up")):
            await marked(page, words, f'.item[data-id="{approval.id}"]')
        await page.goto(place.address)
        await expect(page.get_by_text("Approved by the boss")).to_have_count(0)


async def marked(page: Page, words: str, within: str = "main") -> None:
    """The agent's words stand once under their label, below the whole payload and before the buttons."""
    part = page.locator(within)
    claim = part.locator(".claim", has_text=words)
    await expect(claim).to_have_count(1)
    await expect(claim.locator(".label")).to_have_text("The agent's claim, which may be wrong")
    await expect(claim.locator(".label")).to_be_visible()
    in_order = await page.evaluate(
        """([payload, claim, button]) =>
          payload.getBoundingClientRect().bottom <= claim.getBoundingClientRect().top
          && Boolean(claim.compareDocumentPosition(button) & Node.DOCUMENT_POSITION_FOLLOWING)""",
        [
            await part.locator("table.payload").element_handle(),
            await claim.element_handle(),
            await page.locator("button[value=approve]").element_handle(),
        ],
    )
    assert in_order


async def test_t27_without_a_title_of_its_own_a_claim_is_no_fact_in_any_list(chromium: Browser, place: Place) -> None:
    action = await asked(place, {"pay": "9000 EUR", "to": "mallory"}, claim="Harmless clean-up")
    async with person(chromium, place) as page:
        row = page.locator(f"[id='{action.id}']")
        await expect(row.get_by_role("link")).to_have_text("Harmless clean-up")
        await expect(row.locator(".kind")).to_have_text("action")


async def test_t24_what_people_rejected_stands_first_among_what_else_was_asked(chromium: Browser, place: Place) -> None:
    *before, now = await lunches(place, 8)
    await decide(place, before[0], Verdict.REJECT, "Never.")
    for one in before[1:]:
        await place.desk.approvals.cancel(AGENT, one.id)
    async with person(chromium, place, f"/approvals/{now.id}") as page:
        others = page.get_by_role("region", name="Also asked by")
        await expect(others.locator("summary")).to_contain_text("Last: rejected, “Never.”")
        await others.locator("summary").click()
        await expect(others.locator("li")).to_have_count(5)
        await expect(others.locator("li").first).to_contain_text("Never.")
        await expect(others).to_contain_text("Of this kind: 1 rejected, 6 cancelled.")


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768), (390, 844)])
async def test_the_buttons_of_a_short_action_are_in_view_with_it(
    chromium: Browser, place: Place, width: int, height: int
) -> None:
    [lunch] = await lunches(place, 1)
    async with person(chromium, place, f"/approvals/{lunch.id}", viewport={"width": width, "height": height}) as page:
        for shown in (page.locator("table.payload"), page.get_by_role("button", name="Approve", exact=True)):
            await expect(shown).to_be_in_viewport(ratio=1 if width > 390 else 0.2)
        await expect(page.get_by_role("button", name="Reject", exact=True)).to_be_in_viewport(ratio=1)


async def test_t27_only_what_a_kinds_schema_defines_is_at_stake(chromium: Browser, place: Place) -> None:
    """In an open kind, the agent chooses the fields, and would choose the big figure at the top."""
    one = await asked(place, {"amount": 1, "currency": "EUR", "transfer": 50_000})
    [two] = await lunches(place, 1)
    async with person(chromium, place) as page:
        await expect(page.locator(f"#{one.id} .stake")).to_have_text("")
        await expect(page.locator(f"#{two.id} .stake")).not_to_have_text("")
        for approval, number in ((one, 0), (two, 1)):
            await page.goto(f"{place.address}/approvals/{approval.id}")
            await expect(page.get_by_text("At stake")).to_have_count(number)
