"""T25: what an agent or a person writes deceives no eye and runs nothing on any page."""

import html
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from deceptive import DECEPTIVE, EVERYTHING, deceptive
from playwright.async_api import Browser, Page, expect
from web.attack import a_form, asked, hear_nothing, page_of, program, sealed_on, visitor
from web.rig import ANA, Place, person, serving

from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal

pytestmark = pytest.mark.anyio

MARKUP = "".join(
    (
        "<script>hacked=1</script>",
        "<img src=x onerror=hacked=1>",
        "</pre></td></tr></table></main></title></textarea></select></option></script>-->",
        "<svg onload=hacked=1>",
        "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
        "<form action=http://evil.example><button>Approve</button></form>",
        "<style>*{display:none}</style><base href=http://evil.example/>",
        "<meta http-equiv=refresh content=0;url=//evil.example>",
        "\" onmouseover=hacked=1 x=\"' autofocus onfocus=hacked=1 x='",
        "{{ 7*7 }}{% raw %}${7*7}",
        "javascript:hacked=1 [click](javascript:hacked=1) ![](http://evil.example/x.png) **bold** `code`",
        "&lt;b&gt;&#60;i&#62;&amp;quot;",
    )
)
EVIL = f"{EVERYTHING}|{MARKUP}"
SHORT = EVIL[: len(EVERYTHING) + 60]
"""As much as a claim may say."""
READ = re.compile(r'value="([^"]*)"|title="([^"]*)"|aria-label="([^"]*)"|>([^<]*)<')
"""What a reader gets of a page: its texts, and the attributes that are shown or read aloud."""
SOMEBODY = Principal(f"os:{EVIL}", Established.OS_USER)


def an_answer(name: str) -> dict[str, Any]:
    return {
        "type": "string",
        "title": f"{name} {EVIL[:300]}",
        "description": f"About {EVIL[:300]}",
    }


FORM = {
    "properties": {
        "text": an_answer("Text"),
        "one": {
            **an_answer("One"),
            "oneOf": [{"const": "a", "title": f"A {EVIL}"}, {"const": "b", "title": f"{EVIL} B"}],
        },
        "long": {**an_answer("Long"), "enum": list("abcdefgh"), "enumNames": [f"{n} {EVIL}" for n in "abcdefgh"]},
        "several": {
            **an_answer("Several"),
            "items": {"anyOf": [{"const": "c", "title": f"C {EVIL}"}]},
            "type": "array",
        },
        "yes": {**an_answer("Yes"), "type": "boolean"},
        "many": {**an_answer("Many"), "type": "number"},
    }
}


async def everything(place: Place) -> dict[str, Approval]:
    """Every field that anybody but us can write, with everything in it."""
    payload = {
        f"key {EVIL}": EVIL,
        "lines": f"one\n{EVIL}",
        "deep": [EVIL, {EVIL: EVIL}],
        "currency": EVIL,
        "amount": 5,
    }
    one = await place.desk.approvals.submit(SOMEBODY, "action", payload, claim=f"Claim {SHORT}")
    question = await place.desk.approvals.submit(SOMEBODY, "question", {"question": f"Is {EVIL} fine?", "form": FORM})
    expense = {"amount": 1, "currency": "EUR", "description": EVIL[:400], "category": "x"}
    spent = await place.desk.approvals.submit(SOMEBODY, "expense", expense)
    ended = await place.desk.approvals.submit(SOMEBODY, "action", {"n": EVIL}, claim=f"Ended {SHORT}")
    await place.desk.decisions.decide(
        SOMEBODY, Shown.of(ended), Verdict.REJECT, assurance=Assurance.LOCAL, comment=f"No {EVIL}"
    )
    mine = await place.desk.approvals.submit(SOMEBODY, "action", {"mine": EVIL})
    await place.desk.approvals.cancel(SOMEBODY, mine.id, f"Never mind {EVIL}")
    await place.desk.approvals.edit(
        SOMEBODY,
        Shown.of(one),
        payload | {"deep": f"edited {EVIL}", f"new {EVIL}": EVIL},
        assurance=Assurance.LOCAL,
        comment=f"Why {EVIL}",
    )
    return {"one": await place.now(one), "question": question, "spent": spent, "ended": ended, "mine": mine}


def paths(all_of_it: dict[str, Approval]) -> list[str]:
    """Every page that shows something of it."""
    asked_for = httpx2.QueryParams(
        {"text": EVIL[:200], "kind": EVIL[:200], "requester": SOMEBODY.id[:200], "approver": EVIL[:200]}
    )
    ids = "&".join(f"id={one.id}" for one in all_of_it.values())
    own = [f"/approvals/{one.id}{tail}" for one in all_of_it.values() for tail in ("", "/edit", "/edit?as=json")]
    return ["/", f"/?{asked_for}", "/history", f"/history?{asked_for}", "/numbers", f"/batch?{ids}", *own]


async def test_t25_every_page_shows_what_deceives_as_escapes(place: Place, http: httpx2.AsyncClient) -> None:
    all_of_it = await everything(place)
    session = place.headers(await place.signed_in())
    for path in paths(all_of_it):
        text = await page_of(http, session, path)
        read = "\n".join(html.unescape("".join(found)) for found in READ.findall(text))
        assert deceptive(read) == set(), path
        assert "<script>hacked" not in text and "<img src=x" not in text and "<svg onload" not in text
        if "?" not in path and "/edit" not in path and path != "/numbers":
            assert "\\u001b[8mhidden" in read and "\\u202egnp.exe" in read, path
    news = (await http.get("/changes?after=0", headers=session)).json()["approvals"]
    assert len(news) == len(all_of_it)
    assert all(deceptive(html.unescape(one["row"])) == set() for one in news), "the rows that a script puts in"
    for path in ("/history?status=wrong", "/batch?id=wrong", "/numbers?days=\u202e"):
        response = await http.get(path, headers=session)
        assert deceptive(html.unescape(response.text)) == set(), path


async def test_t25_no_page_runs_or_loads_anything_and_the_policy_has_nothing_to_complain_of(
    chromium: Browser, place: Place
) -> None:
    all_of_it = await everything(place)
    async with person(chromium, place) as page:  # which fails on any complaint of the console, such as of the CSP
        asked_for: list[str] = []
        page.on("request", lambda request: asked_for.append(request.url))
        await page.context.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error('CSP', e.violatedDirective, e.sample))"
        )
        for path in paths(all_of_it):
            if "text=" in path:
                continue  # too long for some searches: see below
            await page.goto(place.address + path)
            await shows_nothing_of_it(page)
        await page.goto(f"{place.address}/?{httpx2.QueryParams({'text': EVIL[-200:]})}")
        await shows_nothing_of_it(page)
        await expect(page.get_by_role("searchbox")).to_have_value(re.compile("javascript|quot"))
        assert [url for url in asked_for if not url.startswith(place.address)] == []


async def shows_nothing_of_it(page: Page) -> None:
    """Nothing ran, nothing was built, and nothing that is shown deceives."""
    assert await page.evaluate("typeof hacked") == "undefined"
    assert (
        await page.locator("iframe, object, embed, base, style, svg, meta[http-equiv], [onerror], [onload]").count()
        == 0
    )
    assert await page.locator("form[action^=http], a[href^=javascript], img:not([src^='/assets/'])").count() == 0
    shown = await page.evaluate(
        "document.body.innerText + document.title +"
        " [...document.querySelectorAll('input, textarea')].map((e) => e.value)"
    )
    assert deceptive(shown.replace("\t", "")) == set(), page.url


async def test_t25_what_a_script_puts_in_is_text_without_deceit(chromium: Browser, place: Place) -> None:
    async with visitor(chromium, place) as page:
        one = await place.desk.approvals.submit(SOMEBODY, "action", {"text": EVIL}, claim=SHORT)  # a row that arrives
        await expect(page.locator("#list tbody tr")).to_have_count(1)
        await shows_nothing_of_it(page)
        await page.goto(f"{place.address}/approvals/{one.id}/edit?as=json")
        await hear_nothing(page)
        await page.reload()
        payload = page.get_by_label("The whole payload, as JSON")
        await payload.fill(
            '{"text": "\\\\u202e<img src=x onerror=hacked=1>\\\\u200b", "\\\\u2066key": 1}'.replace("\\\\", "\\")
        )
        await page.get_by_role("button", name="Show the change").click()
        await expect(page.locator(".difference")).to_contain_text("\\u202e<img src=x")
        await shows_nothing_of_it(page)
        # Somebody with a deceptive name edits it meanwhile: the refusal tells their name and what they changed.
        await place.desk.approvals.edit(
            SOMEBODY, Shown.of(one), {"text": "other", f"k{EVIL}": EVIL}, assurance=Assurance.LOCAL, comment=None
        )
        await page.get_by_role("button", name="Save as revision 2").click()
        await expect(page.locator("article .said")).to_contain_text("was edited meanwhile")
        await shows_nothing_of_it(page)


async def test_t25_no_answer_to_a_script_deceives(place: Place, http: httpx2.AsyncClient) -> None:
    headers = place.headers(await place.signed_in())
    one = await asked(place, {f"k{EVIL}": EVIL})
    sealed = await sealed_on(http, headers, one)
    told: list[str] = []

    async def post(path: str, **fields: str) -> None:
        response = await http.post(path, data={"shown": sealed} | fields, headers=headers)
        answer = response.json()
        told.extend(one["message"] for one in answer.get("results", [answer]) if "message" in one)
        told.append(answer.get("difference", ""))

    await post(f"/approvals/{one.id}/edit", payload=f'{{"{EVIL}": }}')
    await post(f"/approvals/{one.id}/edit", **{f"json.{EVIL}": "{"})
    await post(f"/approvals/{one.id}/edit", **{f"text.{EVIL}": EVIL})
    await post(f"/approvals/{one.id}/decide", verdict=EVIL)
    await post(f"/approvals/{one.id}/decide", **a_form(one, sealed, revision=EVIL))
    await post("/batch", verdict="approve", item=f"{one.id} 1 {one.digest} {sealed} {EVIL}")
    await post("/batch", verdict="approve", item=f"{EVIL.replace(' ', '')} 1 {one.digest} {sealed}")
    await post("/sign-in", code=EVIL, next=EVIL)
    await place.desk.approvals.edit(SOMEBODY, Shown.of(one), {"other": EVIL}, assurance=Assurance.LOCAL, comment=None)
    await post(f"/approvals/{one.id}/edit", step="save", **{"text.new": "x"})
    await post(f"/approvals/{one.id}/decide", **a_form(one, sealed))
    await post("/batch", verdict="approve", item=f"{one.id} 1 {one.digest} {sealed}")
    now = await place.now(one)
    sealed = await sealed_on(http, headers, now)
    await place.desk.decisions.decide(SOMEBODY, Shown.of(now), Verdict.REJECT, assurance=Assurance.LOCAL, comment=EVIL)
    await post(f"/approvals/{one.id}/decide", **a_form(now, sealed))
    await post("/batch", verdict="approve", item=f"{one.id} 2 {now.digest} {sealed}")
    assert [words for words in told if "edited after this was shown" in words and "\\u202e" in words], "it was told"
    for words in told:
        assert deceptive(words) == set(), words


async def test_t25_an_edit_changes_the_fields_that_it_names_whatever_their_names(
    chromium: Browser, place: Place
) -> None:
    names = [f"k{n} {evil} “%20+&=”" for n, evil in enumerate(DECEPTIVE.values())]
    one = await asked(place, {name: "before" for name in names} | {"plain": "as it was", "n%6F": 1})
    async with person(chromium, place, f"/approvals/{one.id}/edit") as page:
        inputs = page.locator("form[data-steps] input[name*='k']")
        await expect(inputs).to_have_count(len(names))
        for field in await inputs.all():
            await field.fill("after")
        await page.get_by_role("button", name="Show the change").click()
        await page.get_by_role("button", name="Save as revision 2").click()
        await page.wait_for_url(f"{place.address}/approvals/{one.id}")
    assert (await place.now(one)).payload == {name: "after" for name in names} | {"plain": "as it was", "n%6F": 1}


async def test_t25_labels_that_a_policy_gives_are_text_too(tmp_path: Path) -> None:
    policy = """
    [kinds.pay]
    title = "Pay {to}"
    schema = { type = "object", properties = { to = { type = "string", title = "To \\u202e<b>" } }, required = ["to"] }
    """
    async with serving(tmp_path / "hitl.db", rulebook=parse(policy).rulebook) as place, program(place) as http:
        one = await place.ask("pay", {"to": EVIL})
        for tail in ("", "/edit"):
            text = await page_of(http, place.headers(await place.signed_in()), f"/approvals/{one.id}{tail}")
            assert "To \\u202e&lt;b&gt;" in text and deceptive(text.replace("\t", "")) == set()


async def test_t25_the_words_of_a_person_who_is_signed_in_are_shown_as_text(chromium: Browser, place: Place) -> None:
    one = await asked(place)
    async with person(chromium, place, f"/approvals/{one.id}") as page:
        await page.get_by_label("Comment").fill(f"Fine {MARKUP} \u202e")
        await page.get_by_role("button", name="Approve").click()
        await expect(page.locator("blockquote")).to_contain_text("\\u202e")
        await shows_nothing_of_it(page)
    assert (await place.now(one)).decisions[0].approver == ANA.id
