"""T30: what other pages and other programs send in a person's name decides nothing, and no page can be framed."""

from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, Page, expect
from web.attack import (
    CHANGING,
    Heard,
    Hostile,
    a_form,
    asked,
    hear,
    program,
    routes,
    sealed_on,
    standing,
    visitor,
    without,
)
from web.rig import ANA, Place, person, serving

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.web.door import TOKEN, cookie_name

pytestmark = pytest.mark.anyio

HOSTS = ("localhost", "127.0.0.1", "evil.example")
"""Where the hostile page stands: on the inbox's own host (the same site!), on its other name, and elsewhere."""
FORGE = """async ([target, fields]) => {
  const body = () => new URLSearchParams(fields);
  const outcomes = [];
  const attempt = async (name, init) => {
    try {
      const answer = await fetch(target, { method: "POST", credentials: "include", ...init });
      outcomes.push([name, answer.type, answer.status, answer.type === "opaque" ? "" : await answer.text()]);
    } catch (error) {
      outcomes.push([name, "refused", 0, String(error)]);
    }
  };
  await attempt("no-cors", { mode: "no-cors", body: body() });
  await attempt("cors", { mode: "cors", body: body() });
  await attempt("text/plain", { mode: "no-cors", body: body().toString() });
  const parts = new FormData();
  for (const [name, value] of Object.entries(fields)) parts.set(name, value);
  await attempt("multipart", { mode: "no-cors", body: parts });
  await attempt("with a token", { mode: "cors", body: body(), headers: { "X-Inbox-Token": "guessed" } });
  await attempt("with a referrer", { mode: "no-cors", body: body(), referrerPolicy: "unsafe-url" });
  await attempt("put", { mode: "cors", method: "PUT", body: body() });
  await attempt("delete", { mode: "cors", method: "DELETE" });
  navigator.sendBeacon(target, body());
  for (const path of ["/", "/evidence/export", "/changes?after=0"]) {
    try {
      const read = await fetch(new URL(path, target), { credentials: "include", mode: "cors" });
      outcomes.push(["read", read.type, read.status, await read.text()]);
    } catch (error) {
      outcomes.push(["read", "refused", 0, String(error)]);
    }
  }
  return outcomes;
}"""
SUBMIT = """([target, fields, enctype]) => {
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action: target, enctype });
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement("input");
    Object.assign(input, { type: "hidden", name, value });
    form.append(input);
  }
  document.body.append(form);
  form.submit();
}"""


async def elsewhere(page: Page, address: str) -> Page:
    """Another tab of the same browser, on somebody else's page."""
    tab = await page.context.new_page()
    await tab.goto(address)
    return tab


def forged(heard: list[Heard], place: Place) -> list[tuple[str, int, bool]]:
    """Of what came to the inbox that a page of its own did not send: the method, the answer, and whether the person's
    cookie came along.
    """
    return [
        (one.method, one.status, cookie_name(place.database) in one.headers.get("cookie", ""))
        for one in heard
        if one.headers.get("sec-fetch-site") not in {"same-origin", "none"}
    ]


@pytest.mark.parametrize("host", HOSTS)
async def test_t30_no_script_of_another_page_decides_or_reads(
    chromium: Browser,
    place: Place,
    hostile: Hostile,
    http: httpx2.AsyncClient,
    host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    approval, heard = await asked(place), hear(monkeypatch)
    sealed = await sealed_on(http, place.headers(await place.signed_in()), approval)
    async with person(chromium, place, f"/approvals/{approval.id}") as page:
        before = await standing(place)
        tab = await elsewhere(page, hostile.at(host))
        for path in (f"/approvals/{approval.id}/decide", "/batch", "/sign-out"):
            fields = a_form(approval, sealed) | {"item": f"{approval.id} 1 {approval.digest} {sealed}"}
            outcomes = await tab.evaluate(FORGE, [place.address + path, fields])
            assert {kind for _, kind, _, _ in outcomes} == {"refused"}, outcomes
    came = forged(heard, place)
    # The attack is worth something: its requests arrive, and on the inbox's own host with the cookie.
    assert {cookie for method, _, cookie in came if method == "POST"} == {host == "localhost"}
    assert {status for method, status, _ in came if method not in {"GET", "HEAD"}} == {403}
    assert (await standing(place), (await place.now(approval)).decisions) == (before, ())


@pytest.mark.parametrize("enctype", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"])
@pytest.mark.parametrize("host", HOSTS)
async def test_t30_no_form_of_another_page_decides(
    chromium: Browser,
    place: Place,
    hostile: Hostile,
    http: httpx2.AsyncClient,
    host: str,
    enctype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    approval, heard = await asked(place), hear(monkeypatch)
    sealed = await sealed_on(http, place.headers(await place.signed_in()), approval)
    async with person(chromium, place) as page:
        before = await standing(place)
        tab = await elsewhere(page, hostile.at(host))
        target = f"{place.address}/approvals/{approval.id}/decide"
        async with tab.expect_navigation(url=target):
            await tab.evaluate(SUBMIT, [target, a_form(approval, sealed), enctype])
        await expect(tab.get_by_text("did not come from a page of this inbox")).to_be_visible()
    assert ("POST", 403, host == "localhost") in forged(heard, place)
    assert (await standing(place), (await place.now(approval)).decisions) == (before, ())


@pytest.mark.parametrize("host", HOSTS)
async def test_t30_nobody_is_signed_in_as_somebody_else_by_another_page(
    chromium: Browser, place: Place, hostile: Hostile, host: str
) -> None:
    code = await place.desk.inbox.offer_link(ANA)
    async with person(chromium, place) as page:
        cookies = await page.context.cookies()
        tab = await elsewhere(page, hostile.at(host))
        async with tab.expect_navigation(url=f"{place.address}/sign-in"):
            await tab.evaluate(
                SUBMIT, [f"{place.address}/sign-in", {"code": code}, "application/x-www-form-urlencoded"]
            )
        assert await page.context.cookies() == cookies
        await expect(tab.get_by_text("did not come from a page of this inbox")).to_be_visible()
    assert (await place.desk.inbox.sign_in(code)).session.who.id == ANA.id, "the link is still good"


@pytest.mark.parametrize("host", HOSTS)
async def test_t30_no_page_of_the_inbox_can_be_framed(
    chromium: Browser, place: Place, hostile: Hostile, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = await asked(place)
    hostile.pages["/"] = (
        f'<!doctype html><title>Win</title><iframe name="a" src="{place.address}/approvals/{approval.id}"></iframe>'
        f'<iframe name="b" src="{place.address}/sign-in"></iframe>'
    )
    heard = hear(monkeypatch)
    async with person(chromium, place) as page:
        tab = await elsewhere(page, hostile.at(host))  # which waits for the frames too
        assert {one.path for one in heard if one.headers.get("sec-fetch-dest") == "iframe"} >= {"/sign-in"}
        assert [frame.url for frame in tab.frames if frame.url.startswith(place.address)] == []


async def test_t30_not_even_the_inbox_frames_itself(chromium: Browser, place: Place) -> None:
    async with person(chromium, place) as page:
        response = await page.request.get(place.address + "/")
        policy = response.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy and response.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("host", HOSTS)
async def test_t30_a_window_of_the_inbox_is_out_of_reach_of_whoever_opened_it(
    chromium: Browser, place: Place, hostile: Hostile, host: str
) -> None:
    approval = await asked(place)
    hostile.pages["/"] = '<!doctype html><button onclick="opened = window.open(target)">Open</button>'
    async with person(chromium, place) as page:
        tab = await elsewhere(page, hostile.at(host))
        await tab.evaluate("url => { window.target = url }", f"{place.address}/approvals/{approval.id}")
        async with tab.expect_popup() as opening:
            await tab.get_by_role("button").click()
        popup = await opening.value
        await popup.wait_for_load_state()
        # The severed handle says that the window is closed; and the window knows nobody who opened it.
        await tab.wait_for_function("opened.closed")
        assert await popup.evaluate("window.opener") is None
        assert await tab.evaluate("(() => { try { return opened.frames.length } catch { return 0 } })()") == 0


@pytest.mark.parametrize("what", ["img", "script", "link rel=stylesheet", "video"])
async def test_t30_no_page_embeds_what_the_inbox_serves(
    chromium: Browser, place: Place, hostile: Hostile, what: str
) -> None:
    tag = what.split(" ")[0]
    attribute = "href" if tag == "link" else "src"
    asset = {"img": "icon.svg", "script": "inbox.js", "link": "inbox.css", "video": "icon.svg"}[tag]
    async with person(chromium, place) as page:
        stem, _, suffix = asset.partition(".")
        found = page.locator(f"[src*='{stem}'][src$='{suffix}'], [href*='{stem}'][href$='{suffix}']")
        own = await found.first.evaluate("one => one.src || one.href")
        tab = await elsewhere(page, hostile.at("localhost"))
        script = """([tag, attribute, url, more]) => new Promise((told) => {
            const one = document.createElement(tag);
            if (more) one.rel = "stylesheet";
            one.addEventListener("load", () => told("loaded"));
            one.addEventListener("loadeddata", () => told("loaded"));
            one.addEventListener("error", () => told("refused"));
            one[attribute] = url;
            document.body.append(one);
        })"""
        for url in (own, f"{place.address}/evidence/export", f"{place.address}/"):
            assert await tab.evaluate(script, [tag, attribute, url, tag == "link"]) == "refused", url


async def test_t30_a_stolen_cookie_reads_but_does_not_decide(
    chromium: Browser, place: Place, hostile: Hostile, http: httpx2.AsyncClient
) -> None:
    approval = await asked(place)
    async with person(chromium, place) as page:
        tab = await elsewhere(page, hostile.at("localhost"))
        await tab.close()
        # Cookies know no ports: what the browser sent to the hostile server is the inbox's own cookie.
        stolen = hostile.received[0].cookies[cookie_name(place.database)]
        thief = {"cookie": f"{cookie_name(place.database)}={stolen}", "origin": place.address}
        sealed = await sealed_on(http, thief, approval)
        before = await standing(place)
        item = f"{approval.id} 1 {approval.digest} {sealed}"
        for method, path in routes(place, approval):
            if method in CHANGING and path != "/sign-in":
                for token in ({}, {TOKEN: ""}, {TOKEN: "0" * 43}, {TOKEN: stolen.partition(".")[2]}):
                    fields = a_form(approval, sealed) | {"item": item, "step": "save", "text.pay": "evil"}
                    response = await http.request(method, path, data=fields, headers=thief | token)
                    assert (response.status_code, response.json()["code"]) == (403, "not_allowed"), (path, token)
        assert (await standing(place), await place.now(approval)) == (before, approval)
        await page.reload()
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def test_t30_who_takes_the_port_of_an_inbox_that_has_ended_gets_a_token_that_decides_nowhere_else(
    chromium: Browser, tmp_path: Path
) -> None:
    """A page that was left open asks its address again; whoever answers there is of the same origin to the browser."""
    database = tmp_path / "hitl.db"
    async with AsyncExitStack() as until_it_ends:
        first = await until_it_ends.enter_async_context(serving(database))
        approval = await asked(first)
        page = await until_it_ends.enter_async_context(visitor(chromium, first, f"/approvals/{approval.id}"))
        async with serving(database) as moved, program(moved) as http:  # where the inbox is when its port is taken
            token = await page.evaluate("localStorage.getItem('inbox-token')")
            [cookie] = await page.context.cookies()
            thief = {"cookie": f"{cookie.get('name')}={cookie.get('value')}", "origin": moved.address, TOKEN: token}
            fields = a_form(approval, await sealed_on(http, thief, approval))
            before = await standing(moved)
            response = await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=thief)
            assert (response.status_code, await standing(moved)) == (403, before)
            async with program(first) as at_home:
                assert await decided(first, at_home, approval, thief | {"origin": first.address}, fields)


async def test_t30_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(chromium: Browser, place: Place) -> None:
    async with person(chromium, place) as page:
        [cookie] = await page.context.cookies()
        assert (cookie.get("httpOnly"), cookie.get("sameSite"), cookie.get("path")) == (True, "Lax", "/")
        assert await page.evaluate("document.cookie") == ""


def wrong_origins(place: Place) -> list[list[tuple[str, str]]]:
    """What stands for the Origin in a forged request; several lines are several headers."""
    port = place.address.rpartition(":")[2]
    return [
        [],
        [("origin", "")],
        [("origin", "null")],
        [("origin", f"http://localhost:{int(port) ^ 1}")],
        [("origin", "http://localhost")],
        [("origin", f"http://127.0.0.1:{port}")],
        [("origin", f"http://[::1]:{port}")],
        [("origin", f"https://localhost:{port}")],
        [("origin", f"http://localhost:{port}.evil.example")],
        [("origin", f"http://evil.example#http://localhost:{port}")],
        [("origin", f"{place.address}/")],
        [("origin", f"{place.address} {place.address}")],
        [("origin", f"{place.address}, {place.address}")],
        [("origin", place.address), ("origin", place.address)],
        [("origin", "http://evil.example"), ("origin", place.address)],
        [("origin", place.address), ("origin", "http://evil.example")],
        [("referer", f"{place.address}/")],
        [("origin", place.address), ("sec-fetch-site", "same-site")],
        [("origin", place.address), ("sec-fetch-site", "cross-site")],
        [("origin", place.address), ("sec-fetch-site", "none")],
        [("origin", place.address), ("sec-fetch-site", "")],
    ]


async def test_t30_without_the_right_origin_nothing_is_changed_even_with_the_token(
    place: Place, http: httpx2.AsyncClient
) -> None:
    approval = await asked(place)
    session = await place.signed_in()
    headers = place.headers(session)
    sealed = await sealed_on(http, headers, approval)
    code = await place.desk.inbox.offer_link(ANA)
    before = await standing(place)
    fields = a_form(approval, sealed) | {
        "item": f"{approval.id} 1 {approval.digest} {sealed}",
        "code": code,
        "step": "save",
        "text.pay": "evil",
    }
    for method, path in routes(place, approval):
        if method not in CHANGING:
            continue
        for origin in wrong_origins(place):
            own = [*without(headers, "origin").items(), *origin]
            response = await http.request(method, path, data=fields, headers=own)
            assert (response.status_code, response.json()["code"]) == (403, "not_allowed"), (path, origin)
    assert (await standing(place), await place.now(approval)) == (before, approval)
    assert await decided(place, http, approval, headers, fields), "the same with the right one is a decision"


async def test_t30_without_the_right_token_nothing_is_changed(place: Place, http: httpx2.AsyncClient) -> None:
    approval = await asked(place)
    mine, other = await place.signed_in(), await place.signed_in()
    headers = place.headers(mine)
    fields = a_form(approval, await sealed_on(http, headers, approval))
    before = await standing(place)
    wrong = ["", other.token, mine.secret, mine.token[:-1], mine.token + "x", mine.token.swapcase(), "null"]
    wrong += [mine.session.token_digest, mine.session.digest, f"{mine.token}, {mine.token}"]
    for method, path in routes(place, approval):
        if method in CHANGING and path != "/sign-in":
            for token in wrong:
                response = await http.request(method, path, data=fields, headers=headers | {TOKEN: token})
                assert (response.status_code, response.json()["code"]) == (403, "not_allowed"), (path, token)
            for name in ("token", "x-inbox-token", "inbox-token"):  # in the form, as another site could send it
                found = await http.request(
                    method, path, data=fields | {name: mine.token}, headers=without(headers, TOKEN)
                )
                assert found.status_code == 403
            spoken = await http.request(method, path, data=fields, headers=headers, params={TOKEN: mine.token})
            assert path.endswith(("/decide", "/batch")) or spoken.status_code != 500
            break
    assert (await place.now(approval)).status.value == "approved", "with the token it is a decision"
    assert before != await standing(place)


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "multipart/form-data; boundary=x", "application/json", "", "application/x-www-form-urlencodedx"],
)
async def test_t30_what_is_no_form_of_ours_is_not_read(place: Place, http: httpx2.AsyncClient, kind: str) -> None:
    approval = await asked(place)
    headers = place.headers(await place.signed_in())
    sealed = await sealed_on(http, headers, approval)
    body = "&".join(f"{name}={value}" for name, value in a_form(approval, sealed).items())
    before = await standing(place)
    response = await http.post(
        f"/approvals/{approval.id}/decide", content=body, headers=headers | ({"content-type": kind} if kind else {})
    )
    assert (response.status_code, response.json()["code"]) == (422, "invalid")
    assert await standing(place) == before


async def decided(
    place: Place, http: httpx2.AsyncClient, approval: Approval, headers: dict[str, str], fields: dict[str, str]
) -> bool:
    """Whether the same request as it should be is a decision: or else these tests would prove nothing."""
    response = await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=headers)
    return response.status_code == 200 and (await place.now(approval)).status.value == "approved"
