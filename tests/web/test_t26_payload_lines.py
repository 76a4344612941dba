"""T26: the table shows the payload exactly: what differs reads differently, and numbers have no other digits."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from playwright.async_api import Browser, expect
from web.attack import asked
from web.rig import Place, person

from mcp_hitl.domain.values.canonical import digest_of, rfc8785_form
from mcp_hitl.web.descriptions import lines

SHOWN: dict[str, tuple[Any, str, bool]] = {
    "a large number": (12345678, "12345678", True),
    "a text of grouped digits": ("12,345,678", "12,345,678", False),
    "a text of digits": ("500", '"500"', False),
    "a number": (500, "500", True),
    "a number as the store gives it back": (30930260942649870, "30930260942649870", True),
    "a small number": (1e-7, "1e-7", True),
    "null": (None, "null", True),
    "the word null": ("null", '"null"', False),
    "true": (True, "true", True),
    "the word true": ("true", '"true"', False),
    "no text": ("", '""', False),
    "an empty list": ([], "[]", True),
    "a text of an empty list": ("[]", '"[]"', False),
    "a text in quotes": ('"null"', '"\\"null\\""', False),
    "a text with a blank at its end": ("alice ", '"alice "', False),
    "a text of several lines": ("one\n  two", "one\n  two", False),
    "a number too long for Python": ("9" * 5_000, f'"{"9" * 5_000}"', False),
    "lists within lists": ("[" * 50_000, f'"{"[" * 50_000}"', False),
}


@pytest.mark.parametrize("case", SHOWN)
def test_t26_a_value_reads_as_what_it_is(case: str) -> None:
    value, text, literal = SHOWN[case]
    [line] = lines({"field": value}, None)
    assert (line.text, line.literal, line.nested) == (text, literal, False)


def test_t26_names_that_differ_in_blanks_alone_read_differently() -> None:
    names = ["a", "a ", " a", "a\n", "a\\n", '"a "', "a\u200b", "a\\u200b", "", "a  b", "a b", "a\nb"]
    shown = [line.name for line in lines(dict.fromkeys(names, 1), None)]
    assert len(set(shown)) == len(names) and not any("\n" in name for name in shown)
    assert shown[:3] == ["a", '"a "', '" a"']


numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | numbers
texts = st.text(st.sampled_from(' "[]{}:,0123456789.eE-nulltruefalse\\\n'), max_size=6)


@given(plain | texts, plain | texts)
@example(500, "500")
@example("", None)
@example(0.0, -0.0)
def test_t26_no_two_values_read_alike(one: Any, other: Any) -> None:
    [first], [second] = lines({"a": one}, None), lines({"a": other}, None)
    same = digest_of(rfc8785_form(one)) == digest_of(rfc8785_form(other))
    assert (first.text == second.text) is same
    if first.literal:
        read = json.loads(first.text)
        assert read == one or float(read) == one


@pytest.mark.anyio
async def test_t26_in_the_browser_literals_look_otherwise_and_blanks_in_names_stay(
    chromium: Browser, place: Place
) -> None:
    approval = await asked(place, {"pay  to": "alice", "n": 12345678, "text": "12345678"})
    async with person(chromium, place, f"/approvals/{approval.id}") as page:
        cells = page.locator("table.payload .value")
        await expect(page.locator("table.payload .literal")).to_have_text(["12345678"])
        await expect(cells.filter(has_text='"12345678"')).to_have_count(1)
        name = page.locator("table.payload th .name").filter(has_text="pay")
        assert await name.evaluate("(name) => name.innerText") == "pay  to"
        assert await name.evaluate("(name) => getComputedStyle(name).whiteSpace") == "pre-wrap"


async def test_t26_fields_stand_in_the_order_in_which_the_agent_sent_them(chromium: Browser, place: Place) -> None:
    mail = {"to": "all@example.com", "subject": "Hello", "body": "…", "attached": {"name": "a.pdf", "bytes": 2}}
    approval = await place.ask("action", mail)
    async with person(chromium, place, f"/approvals/{approval.id}") as page:
        shown = await page.get_by_role("region", name="The action").inner_text()
    places = [shown.index(word) for word in ("all@example.com", "Hello", "…", "a.pdf", "2")]
    assert places == sorted(places)
    assert list(approval.payload) == list(mail)
