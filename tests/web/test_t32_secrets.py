"""T32: no secret stands in a URL after the exchange, in a log, in a file, or on a command line."""

import re
import sqlite3
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, expect
from web.attack import Heard, Hostile, a_form, asked, hear, page_of, routes, sealed_on, visitor
from web.rig import ANA, GUARD_SECONDS, Place, person

from mcp_hitl.desk.sign_in import SignedIn
from mcp_hitl.web.door import cookie_name
from mcp_hitl.web.rendering import STATIC
from mcp_hitl.web.sign_in import link

pytestmark = pytest.mark.anyio


async def test_t32_after_the_exchange_no_url_and_no_header_has_a_secret(
    chromium: Browser, place: Place, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await asked(place), await asked(place, {"n": 2})
    heard = hear(monkeypatch)
    code = await place.desk.inbox.offer_link(ANA)
    context = await chromium.new_context()
    context.set_default_timeout(GUARD_SECONDS * 1000)
    try:
        page = await context.new_page()
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.on("framenavigated", lambda frame: urls.append(frame.url))
        await page.goto(link(place.origin, code, f"/approvals/{one.id}"))
        await page.wait_for_url(f"{place.address}/approvals/{one.id}")
        exchanged = next(number for number, url in enumerate(urls) if url == f"{place.address}/approvals/{one.id}")
        [cookie] = await context.cookies()
        secret = cookie.get("value", "").partition(".")[2]
        token = await page.evaluate("localStorage.getItem('inbox-token')")
        secrets = [code, secret, token]
        assert all(len(one) == 43 for one in secrets) and len(set(secrets)) == 3
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_role("heading", name="How it ended")).to_be_visible()
        await page.goto(f"{place.address}/approvals/{two.id}/edit")
        await page.locator("[name='json.n']").fill("3")
        await page.get_by_role("button", name="Show the change").click()
        await page.get_by_role("button", name="Save as revision 2").click()
        await page.wait_for_url(f"{place.address}/approvals/{two.id}")
        await page.goto(f"{place.address}/batch?id={two.id}")
        await page.get_by_role("button", name="Reject 1").click()
        for path in ("/history", "/numbers", "/evidence"):
            await page.goto(place.address + path)
        await page.get_by_role("button", name="Check all of it now").click()
        await expect(page.get_by_text("Intact:")).to_be_visible()
        # A link that leads elsewhere tells nobody where it was followed.
        await page.evaluate(
            """url => {
              const link = Object.assign(document.createElement("a"), { href: url, textContent: "away" });
              link.referrerPolicy = "unsafe-url";
              document.body.append(link);
            }""",
            hostile.at("127.0.0.1", "/away"),
        )
        await page.get_by_role("link", name="away").click()
        await page.wait_for_url("**/away")
        # Where the browser has been: the link itself is not in its history.
        cdp = await context.new_cdp_session(page)
        been = str(await cdp.send("Page.getNavigationHistory"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        assert been.count(place.address) > 5 and not any(secret in been for secret in secrets)
        await page.go_back()
        assert not any(one in page.url for one in secrets)
        assert [url for url in urls[exchanged:] if any(one in url for one in secrets)] == []
        content = await page.content()
        assert not any(one in content for one in secrets)
    finally:
        await context.close()
    assert [one.headers for one in hostile.received if any(secret in str(one) for secret in secrets)] == []
    assert [one.path for one in heard if told(one, secrets)] == []
    assert [one.headers["referer"] for one in heard if "referer" in one.headers] == []


def told(one: Heard, secrets: list[str]) -> list[str]:
    """The secrets that a request has in its address or in a header that is not made for them."""
    made_for_them = {"cookie", "x-inbox-token"}
    rest = [one.path, *(value for name, value in one.headers.items() if name not in made_for_them)]
    return [secret for secret in secrets if any(secret in text for text in rest)]


async def test_t32_a_link_leaves_the_address_bar_even_where_it_signs_nobody_in(chromium: Browser, place: Place) -> None:
    where = await place.link()
    code = where.partition("#")[2]
    await place.desk.inbox.sign_in(code)
    context = await chromium.new_context()
    try:
        page = await context.new_page()
        await page.goto(where)
        await expect(page.get_by_role("alert").filter(has_text="was used already")).to_be_visible()
        assert code not in page.url and await page.evaluate("location.hash") == ""
        await page.reload()
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert code not in await page.content()
    finally:
        await context.close()


async def test_t32_a_code_that_is_sent_before_the_script_is_there_stands_in_no_url(
    chromium: Browser, place: Place
) -> None:
    code = await place.desk.inbox.offer_link(ANA)
    async with visitor(chromium, place) as page:
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        await page.route("**/assets/*/signing_in.js", lambda route: route.abort())
        await page.goto(f"{place.address}/sign-in")
        await page.get_by_label("Or paste the code").fill(code)
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert len(urls) > 2 and not any(code in url for url in [page.url, *urls])


async def test_t32_a_page_elsewhere_hears_no_address_of_ours(chromium: Browser, place: Place, hostile: Hostile) -> None:
    one = await asked(place)
    async with person(chromium, place, f"/approvals/{one.id}") as page:
        await page.evaluate("url => location.assign(url)", hostile.at("127.0.0.1"))
        await page.wait_for_url(hostile.at("127.0.0.1"))
        assert await page.evaluate("document.referrer") == ""
    heard = [came.headers.get("referer", "") for came in hostile.received]
    assert heard and not any(place.address in referer for referer in heard)


async def test_t32_the_database_holds_no_secret_in_plain(
    place: Place, tmp_path: Path, http: httpx2.AsyncClient
) -> None:
    unused, used = await place.desk.inbox.offer_link(ANA), await place.desk.inbox.offer_link(ANA)
    response = await http.post("/sign-in", data={"code": used}, headers={"origin": place.address})
    secret = response.headers["set-cookie"].partition(".")[2].partition(";")[0]
    one = await asked(place)
    headers = {
        "cookie": f"{cookie_name(place.database)}={place.database}.{secret}",
        "origin": place.address,
        "x-inbox-token": response.json()["token"],
    }
    fields = a_form(one, await sealed_on(http, headers, one))
    assert (await http.post(f"/approvals/{one.id}/decide", data=fields, headers=headers)).status_code == 200
    secrets = [unused, used, secret, response.json()["token"]]
    held = {file.name: file.read_bytes() for file in sorted(tmp_path.iterdir())}  # noqa: ASYNC240
    assert {"hitl.db", "hitl.db-wal"} <= held.keys()
    with sqlite3.connect(tmp_path / "hitl.db") as database:
        held["as it is read"] = "\n".join(database.iterdump()).encode()
    database.close()
    assert one.id.encode() in held["as it is read"]
    assert [
        (name, number) for name, data in held.items() for number, s in enumerate(secrets) if s.encode() in data
    ] == []


async def test_t32_nothing_that_is_read_or_exported_has_a_secret_or_its_digest(
    place: Place, http: httpx2.AsyncClient
) -> None:
    one = await asked(place)
    session: SignedIn = await place.signed_in()
    unused = await place.desk.inbox.offer_link(ANA)
    headers = place.headers(session)
    secrets = [session.secret, session.token, session.session.digest, session.session.token_digest, unused]
    for method, path in routes(place, one):
        if method == "GET" and path != "/live":
            response = await http.get(path, headers=headers, params={"id": one.id, "after": 0, "challenge": "x" * 32})
            assert not any(secret in response.text for secret in secrets), path
            assert not any(secret in str(response.headers) for secret in secrets), path


async def test_t32_every_answer_tells_the_browser_to_keep_and_pass_on_nothing(
    place: Place, http: httpx2.AsyncClient
) -> None:
    one = await asked(place)
    headers = place.headers(await place.signed_in())
    ways = [*routes(place, one), ("GET", "/nowhere"), ("GET", "/approvals/nowhere"), ("PUT", "/")]
    for method, path in ways:
        for sent in ({}, headers):
            if path == "/live" and sent:
                continue
            response = await http.request(method, path, headers=sent)
            assert response.headers["referrer-policy"] == "no-referrer", (method, path)
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["cache-control"] == "no-store", (method, path)
            assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
            assert response.headers["cross-origin-opener-policy"] == "same-origin"
            assert response.headers["cross-origin-resource-policy"] == "same-origin"
            assert not any(name.startswith("access-control-") for name in response.headers)
            assert "server" not in response.headers
    text = await page_of(http, place.headers(await place.signed_in()), "/")
    [folder] = set(re.findall(r'(?:src|href)="(/assets/.+?/)[^/"]+"', text))
    for file in STATIC.iterdir():
        kept = await http.get(folder + file.name)
        assert (kept.status_code, kept.content) == (200, file.read_bytes())
        assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "script-src 'self'" in kept.headers["content-security-policy"]
        assert kept.headers["x-content-type-options"] == "nosniff" and "set-cookie" not in kept.headers


async def test_t32_the_cookie_is_set_in_answer_to_the_exchange_and_nowhere_else(
    place: Place, http: httpx2.AsyncClient
) -> None:
    one = await asked(place)
    session = await place.signed_in()
    headers = place.headers(session)
    for method, path in routes(place, one):
        if path not in {"/live", "/sign-out", "/sign-in"}:
            response = await http.request(method, path, headers=headers, data={} if method == "POST" else None)
            assert "set-cookie" not in response.headers, (method, path)
    out = await http.post("/sign-out", headers=headers)
    assert session.secret not in str(out.headers) and "Max-Age=0" in out.headers["set-cookie"]
