"""T30: what every route tells the browser about itself, in one table. A route without its row fails."""

from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from web.attack import asked
from web.rig import KEY, Place
from wires import http_server

from mcp_hitl.desk.search import Search
from mcp_hitl.web.app import Inbox
from mcp_hitl.web.rendering import STATIC

pytestmark = pytest.mark.anyio

ALWAYS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types inbox",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NEVER = ("server", "access-control-allow-origin", "access-control-allow-credentials", "clear-site-data", "refresh")

PRIVATE, FOR_EVER = "no-store", "public, max-age=31536000, immutable"
NONE, SET, FORGOTTEN = "no cookie", "a cookie that scripts cannot read", "the cookie taken away"

ONE = "/approvals/{id}"
TABLE: dict[tuple[str, str], tuple[str, str]] = {
    # method and route: how the browser keeps it, and what it does to the cookie
    ("GET", "/"): (PRIVATE, NONE),
    ("GET", "/history"): (PRIVATE, NONE),
    ("GET", "/numbers"): (PRIVATE, NONE),
    ("GET", ONE): (PRIVATE, NONE),
    ("POST", ONE + "/decide"): (PRIVATE, NONE),
    ("GET", ONE + "/edit"): (PRIVATE, NONE),
    ("POST", ONE + "/edit"): (PRIVATE, NONE),
    ("POST", ONE + "/cancel"): (PRIVATE, NONE),
    ("POST", ONE + "/lift"): (PRIVATE, NONE),
    ("POST", ONE + "/reconcile"): (PRIVATE, NONE),
    ("GET", "/batch"): (PRIVATE, NONE),
    ("POST", "/batch"): (PRIVATE, NONE),
    ("GET", "/evidence"): (PRIVATE, NONE),
    ("POST", "/evidence/verify"): (PRIVATE, NONE),
    ("GET", "/evidence/export"): (PRIVATE, NONE),
    ("GET", "/live"): (PRIVATE, NONE),
    ("GET", "/changes"): (PRIVATE, NONE),
    ("GET", "/sign-in"): (PRIVATE, NONE),
    ("POST", "/sign-in"): (PRIVATE, SET),
    ("POST", "/sign-out"): (PRIVATE, FORGOTTEN),
    ("GET", "/inbox/identity"): (PRIVATE, NONE),
    ("GET", "/assets/{digest}/{file}"): (FOR_EVER, NONE),
}


def cookie_in(response: httpx2.Response) -> str:
    """What an answer does to the cookie."""
    told = response.headers.get_list("set-cookie")
    if not told:
        return NONE
    [cookie] = told
    words = {word.strip().lower() for word in cookie.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= words and not any(word.startswith("domain") for word in words)
    return FORGOTTEN if "max-age=0" in words else SET


def check(response: httpx2.Response, cache: str, cookie: str = NONE) -> None:
    """The answer says what a row of the table has."""
    what = f"{response.request.method} {response.request.url}: {response.status_code}"
    assert {name: response.headers.get_list(name) for name in ALWAYS} == {n: [v] for n, v in ALWAYS.items()}, what
    assert [name for name in NEVER if name in response.headers] == [], what
    assert (response.headers.get_list("cache-control"), cookie_in(response)) == ([cache], cookie), what


def routed(app: Starlette) -> set[tuple[str, str]]:
    """Method and path of every route that an inbox has."""
    found: set[tuple[str, str]] = set()
    for route in app.routes:
        assert isinstance(route, Route), "a route of another sort needs a row of its own"
        found |= {(method, route.path) for method in (route.methods or set()) - {"HEAD"}}
    return found


async def test_t30_every_route_has_its_row(place: Place) -> None:
    assert routed(Inbox(place.desk, key=KEY, how="").app) == TABLE.keys()


async def test_t30_every_route_says_what_its_row_has(place: Place, http: httpx2.AsyncClient) -> None:
    sheet = (await http.get("/sign-in")).text.partition('href="/assets/')[2].partition('"')[0]
    digest, _, file = sheet.partition("/")
    for (method, route), (cache, cookie) in TABLE.items():
        approval = await asked(place, {"for": f"{method} {route}"})
        path = route.format(id=approval.id, digest=digest, file=file)
        headers = place.headers(await place.signed_in())
        query = {"id": approval.id, "after": "0", "challenge": "x" * 32} if method == "GET" else None
        fields = {"code": (await place.link()).partition("#")[2]} if method == "POST" else None
        async with http.stream(method, path, params=query, data=fields, headers=headers) as served:
            check(served, cache, cookie)
            assert served.status_code in ({200} if method == "GET" or cookie != NONE else {200, 409, 422})
        if route != "/live":
            check(await http.head(path, headers=headers), cache if method == "GET" else PRIVATE)
        stranger = await http.request(method, path, data=fields and {})
        check(stranger, cache)
        wrong = await http.request("PUT" if method == "POST" else "DELETE", path, headers=headers)
        check(wrong, PRIVATE)


async def test_t30_what_is_no_route_says_the_same(
    place: Place, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = place.headers(await place.signed_in())
    for path in ("/nowhere", "/history/", f"/assets/none/{sorted(STATIC.iterdir())[0].name}", "/approvals/none"):
        check(await http.get(path, headers=headers), PRIVATE)
    misled = await http.get("/", headers=headers | {"host": "evil.example"})
    assert misled.status_code == 421
    check(misled, PRIVATE)

    async def broken(self: Search, *_: object, **__: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Search, "pending", broken)
    failed = await http.get("/", headers=headers)
    assert (failed.status_code, "fault" in failed.text) == (500, False)
    check(failed, PRIVATE)


async def test_t30_the_other_address_of_serve_says_the_same(tmp_path: Path) -> None:
    with http_server(tmp_path / "hitl.db") as (url, _):
        async with httpx2.AsyncClient(base_url=url.removesuffix("/mcp")) as http:
            for path in ("/", "/healthz", "/readyz", "/mcp", "/nowhere"):
                check(await http.get(path), PRIVATE)
                misled = await http.get(path, headers={"host": "evil.example"})
                assert misled.status_code == 421
                check(misled, PRIVATE)
