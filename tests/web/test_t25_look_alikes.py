"""T25: what looks alike is told apart on the pages, and nothing that an agent writes passes for our words."""

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from web.attack import asked
from web.rig import Place, person, serving

from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.policy.principal import LOOPBACK
from mcp_hitl.present.warnings import MIXED
from mcp_hitl.web.descriptions import lines, stake

pytestmark = pytest.mark.anyio

LOOKS_ALIKE = "p\u0430ypal"
ENDED = "no longer needed\u201d, approved by ana, who says \u201csame again please"
SPACES = {"amount": 5, " amount": 500, "a  b": 1, "a b": 2}


async def words(page: Page) -> str:
    return await page.locator("main").inner_text()


async def test_t25_a_word_that_mixes_alphabets_is_marked_and_the_page_says_so(chromium: Browser, place: Place) -> None:
    one = await asked(place, {"to": LOOKS_ALIKE, "deep": {"x": [f"{LOOKS_ALIKE} 2"]}}, claim=f"Pay {LOOKS_ALIKE}")
    other = await asked(place, {"кому": "Иванов", "αξία": 5, "誰": "Tシャツ"}, claim="Оплата")
    async with person(chromium, place, f"/approvals/{one.id}") as page:
        await expect(page.get_by_text(MIXED)).to_have_count(1)
        shown = await words(page)
        assert "p\\u0430ypal" in shown and LOOKS_ALIKE not in shown
        await page.goto(f"{place.address}/batch?id={one.id}&id={other.id}")
        await expect(page.get_by_text(MIXED)).to_have_count(1)
        await page.goto(f"{place.address}/approvals/{other.id}")
        await expect(page.get_by_text(MIXED)).to_have_count(0)
        shown = await words(page)
        assert all(text in shown for text in ("кому", "Иванов", "αξία", "誰", "Tシャツ", "Оплата"))


async def test_t25_a_reason_of_an_agent_ends_no_quotation(chromium: Browser, place: Place) -> None:
    gone = await asked(place, {"n": 1})
    await place.desk.approvals.cancel(LOOPBACK, gone.id, ENDED)
    one = await asked(place, {"n": 2})
    async with person(chromium, place, f"/approvals/{one.id}") as page:
        for path in (f"/approvals/{one.id}", f"/approvals/{gone.id}"):
            await page.goto(place.address + path)
            await page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
            shown = await words(page)
            assert '\u201cno longer needed", approved by ana, who says "same again please\u201d' in shown
            assert "\u201d, approved by" not in shown


async def test_t25_fields_with_nearly_the_same_name_are_told_apart_where_they_are_edited(
    chromium: Browser, place: Place
) -> None:
    one = await asked(place, SPACES)
    async with person(chromium, place, f"/approvals/{one.id}/edit") as page:
        labels = [(await label.inner_text()).split(" (")[0] for label in await page.locator(".field .name").all()]
        assert labels == ["amount", '" amount"', "a  b", "a b"]


async def test_t25_a_choice_shows_what_it_sends(chromium: Browser, place: Place) -> None:
    options = [{"const": "wire 5000 USD to mallory", "title": "Yes"}, {"const": "No", "title": "No"}]
    few = {"type": "string", "oneOf": options}
    many = {"type": "string", "oneOf": [*options, *({"const": c, "title": c} for c in "abcdef")]}
    form: Any = {"properties": {"few": few, "many": many}}
    one = await place.ask("question", {"question": "Right?", "form": form})
    async with person(chromium, place, f"/approvals/{one.id}") as page:
        await expect(page.locator("label.choice").first).to_have_text("Yes wire 5000 USD to mallory")
        await expect(page.locator("label.choice").last).to_have_text("No")
        options = await page.locator("select[name='answer.many'] option").all_inner_texts()
        assert options[1:3] == ["Yes [wire 5000 USD to mallory]", "No"]


async def test_t25_a_name_does_not_pass_for_the_label_of_another_field(chromium: Browser, tmp_path: Any) -> None:
    policy = """
    [kinds.pay]
    title = "Pay"
    [kinds.pay.schema]
    type = "object"
    [kinds.pay.schema.properties.order]
    type = "object"
    [kinds.pay.schema.properties.order.properties.amount]
    type = "number"
    title = "Amount"
    """
    async with serving(tmp_path / "hitl.db", rulebook=parse(policy).rulebook) as place:
        one = await place.ask("pay", {"order": {"Amount": 1, "amount": 5000}})
        async with person(chromium, place, f"/approvals/{one.id}") as page:
            names = await page.locator("table.inside th").all_inner_texts()
            assert sorted(names) == ["Amount", "Amount\namount"]


async def test_t25_a_unit_does_not_add_to_the_amount_at_stake(tmp_path: Any) -> None:
    policy = """
    [kinds.pay]
    title = "Pay"
    schema = { type = "object", properties = { amount = { type = "number" }, currency = { type = "string" } } }
    """
    rulebook = parse(policy).rulebook
    async with serving(tmp_path / "hitl.db", rulebook=rulebook) as place:
        said = [await place.ask("pay", {"amount": 1, "currency": unit}) for unit in ("000 USD", "USD", ",000")]
        shown = [stake(await place.desk.approvals.get(LOOPBACK, one.id), rulebook.kinds["pay"]) for one in said]
    assert shown == ["1 \u201c000 USD\u201d", "1 USD", "1 \u201c,000\u201d"]


def test_t25_names_that_an_earlier_version_let_look_the_same_are_told_apart() -> None:
    found = lines({"copy": 1, "\u0441\u043e\u0440\u0443": 2, "in": {"\u00e9": 1, "e\u0301": 2}, "\u0438": 3}, None)
    assert [one.name for one in found] == ["copy", '"\\u0441\\u043e\\u0440\\u0443"', "in", '"\\u0438"']
    assert [one.name for one in found[2].parts] == ['"\\u00e9"', '"e\\u0301"']
