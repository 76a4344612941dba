"""T28: of a batch, each item is decided for exactly what was shown of it, and what cannot be is named and unchanged."""

import re
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, expect
from web.attack import a_form, edited, hear_nothing, page_of, program, sealed_on, standing, visitor
from web.rig import Place, serving

from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.approvals.approval import Approval

pytestmark = pytest.mark.anyio

POLICY = """
[kinds.action]
[kinds.question]
[kinds.wire]
schema = {}
assurance = "session"
[kinds.press]
schema = {}
form = { properties = { tone = { type = "string" } }, required = ["tone"] }
"""


def item(approval: Approval, sealed: str, *, digest: str = "", revision: int = 0) -> str:
    """One line of a batch's list."""
    return f"{approval.id} {revision or approval.revision} {digest or approval.digest} {sealed}"


@pytest.mark.parametrize("verdict", ["approve", "reject"])
async def test_t28_the_good_ones_are_decided_and_the_others_are_named_and_unchanged(
    tmp_path: Path, verdict: str
) -> None:
    rulebook = parse(POLICY).rulebook
    async with (
        serving(tmp_path / "hitl.db", rulebook=rulebook) as place,
        serving(tmp_path / "other.db", rulebook=rulebook) as elsewhere,
        program(place) as http,
        program(elsewhere) as http_elsewhere,
    ):
        headers = place.headers(await place.signed_in())
        good, stale, decided, swapped, other, twice, last, forged = [
            await place.ask("action", {"n": n}) for n in range(8)
        ]
        high = await place.ask("wire", {"to": "mallory"})
        form = await place.ask("press", {"say": "hello"})
        foreign = await elsewhere.ask("action", {"n": 1})
        asked = [good, stale, decided, swapped, other, twice, last, forged, high, form]
        seal = {one.id: await any_seal(http, headers, one) for one in asked}
        seal[foreign.id] = await sealed_on(http_elsewhere, elsewhere.headers(await elsewhere.signed_in()), foreign)
        await edited(place, stale, n=100)
        done = a_form(decided, seal[decided.id], "reject" if verdict == "approve" else "approve", comment="Earlier.")
        assert (await http.post(f"/approvals/{decided.id}/decide", data=done, headers=headers)).status_code == 200
        items = {
            "good": item(good, seal[good.id]),
            "stale": item(stale, seal[stale.id]),
            "decided": item(decided, seal[decided.id]),
            "high": item(high, seal[high.id]),
            "form": item(form, seal[form.id]),
            "foreign": item(foreign, seal[foreign.id]),
            "swapped": item(swapped, seal[swapped.id], digest=other.digest),
            "other seal": item(other, seal[swapped.id]),
            "another revision": item(forged, seal[forged.id], revision=2),
            "twice": item(twice, seal[twice.id]),
            "twice again": item(twice, seal[twice.id]),
            "last": item(last, seal[last.id]),
        }
        alone = [stale, decided, high, form, swapped, other, forged]
        before = [await place.now(one) for one in alone]
        entries, _ = await standing(place)
        body = httpx2.QueryParams(
            [("verdict", verdict), ("comment", "All."), *(("item", one) for one in items.values())]
        )
        response = await http.post(
            "/batch",
            content=str(body),
            headers=headers | {"content-type": "application/x-www-form-urlencoded"},
        )
        assert response.status_code == 200, response.text
        results = dict(zip(items, response.json()["results"], strict=True))
        assert [name for name, told in results.items() if told["done"]] == ["good", "twice", "twice again", "last"]
        word = "approved" if verdict == "approve" else "rejected"
        says = {
            "stale": "edited after this was shown",
            "decided": "already",
            "high": "cannot be decided here",
            "form": "questions to answer",
            "foreign": "no approval with this id",
            "swapped": "another revision",
            "other seal": "did not show the approval",
            "another revision": "another revision",
            "twice again": f"Recorded; it is {word}.",
        }
        for name, words in says.items():
            assert words in results[name]["message"], (name, results[name])
            assert results[name]["id"] == items[name].split(" ")[0]
        for one in (good, twice, last):
            now = await place.now(one)
            assert (now.status.value, len(now.decisions)) == (word, 1)
            assert now.decisions[0].comment == "All."
        assert [await place.now(one) for one in alone] == before
        assert (await elsewhere.now(foreign)).decisions == ()
        assert (await standing(place))[0] == entries + 6, "three decisions and what they ended, and nothing else"


async def test_t28_a_list_that_is_sent_again_after_a_lost_answer_is_answered_as_it_was(tmp_path: Path) -> None:
    pair = parse("[kinds.action]\n" + '[[kinds.action.stages]]\napprovers = ["local"]\n' * 2).rulebook
    async with serving(tmp_path / "hitl.db", rulebook=pair) as place, program(place) as http:
        headers = place.headers(await place.signed_in())
        asked = [await place.ask("action", {"n": n}) for n in range(2)]
        items = [("item", item(one, await any_seal(http, headers, one))) for one in asked]
        form = headers | {"content-type": "application/x-www-form-urlencoded"}

        async def send(verdict: str) -> list[bool]:
            body = str(httpx2.QueryParams([("verdict", verdict), ("comment", "All."), *items]))
            response = await http.post("/batch", content=body, headers=form)
            return [told["done"] for told in response.json()["results"]]

        assert await send("approve") == [True, True]
        before = await standing(place)
        assert await send("approve") == [True, True], "recorded is what they are"
        assert await send("reject") == [False, False], "nobody is told of a no that was not recorded"
        assert await standing(place) == before


async def any_seal(http: httpx2.AsyncClient, headers: dict[str, str], approval: Approval) -> str:
    """A seal of what a page showed; where that may not be decided and carries none, one of our own making."""
    text = await page_of(http, headers, f"/approvals/{approval.id}")
    if 'name="shown"' in text:
        return text.split('name="shown" value="')[1].split('"')[0]
    from web.rig import KEY

    from mcp_hitl.web.page_seals import Seals

    return Seals(KEY).seal(approval, approval.requested_at)


async def test_t28_a_list_that_cannot_be_read_decides_nothing_of_it(place: Place, http: httpx2.AsyncClient) -> None:
    headers = place.headers(await place.signed_in())
    good = await place.ask("action", {"n": 1})
    one = item(good, await sealed_on(http, headers, good))
    before = await standing(place)
    for verdict, comment, items in (
        ("approve", "", []),
        ("approve", "", [one, "x"]),
        ("approve", "", [one, f"{one} {one}"]),
        ("approve", "", [one] * 51),
        ("", "", [one]),
        ("approved", "", [one]),
        ("reject", " ", [one]),
        ("approve", "x" * 2_001, [one]),
    ):
        body = httpx2.QueryParams([("verdict", verdict), ("comment", comment), *(("item", each) for each in items)])
        response = await http.post(
            "/batch", content=str(body), headers=headers | {"content-type": "application/x-www-form-urlencoded"}
        )
        refused = response.status_code == 422 or [told["done"] for told in response.json()["results"]] == [False]
        assert refused, (verdict, len(items), response.text)
    assert await standing(place) == before


async def test_t28_in_the_browser_only_what_was_shown_is_decided(chromium: Browser, tmp_path: Path) -> None:
    async with serving(tmp_path / "hitl.db", rulebook=parse(POLICY).rulebook) as place:
        good, left_out, stale = [await place.ask("action", {"n": n}) for n in range(3)]
        high, form = await place.ask("wire", {"to": "x"}), await place.ask("press", {"say": "x"})
        ids = "&".join(f"id={one.id}" for one in (good, left_out, stale, high, form, good))
        async with visitor(chromium, place) as page:
            assert await page.locator("#list input[type=checkbox]").count() == 3, "nothing that is decided by itself"
            await hear_nothing(page)
            await page.goto(f"{place.address}/batch?{ids}")
            await expect(page.locator(".item")).to_have_count(5)
            await expect(page.locator(f'[data-id="{high.id}"]')).to_contain_text("cannot be decided here")
            await expect(page.locator(f'[data-id="{form.id}"]')).to_contain_text("questions to answer")
            await page.locator(f'[data-id="{left_out.id}"] input').uncheck()
            await edited(place, stale, n=100)
            await page.get_by_role("button", name="Approve 2").click()
            await expect(page.get_by_text("1 of 2 recorded")).to_be_visible()
            await expect(page.locator(f'[data-id="{stale.id}"] .result')).to_contain_text(
                re.compile(r"n\s+before: 2\s+after:  100")
            )
            await expect(page.locator(f'[data-id="{good.id}"] .result')).to_contain_text("Recorded")
        found = [(await place.now(one)).status.value for one in (good, left_out, stale, high, form)]
        assert found == ["approved", "pending", "pending", "pending", "pending"]
