"""T29: whatever opens links (a mail scanner, a preview, a browser that reads ahead) decides nothing."""

import re
from datetime import timedelta

import httpx2
import pytest
from playwright.async_api import Browser
from web.attack import Hostile, asked, routes, standing, without
from web.rig import ANA, Place, person

from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict

pytestmark = pytest.mark.anyio

LINK = re.compile(r'(?:href|src|action)="([^"]+)"')
STREAMS = frozenset({"/live"})
"""What does not end by itself."""


async def a_days_work(place: Place) -> None:
    """One of each sort, so that every page has every link that it can have."""
    rejected = await asked(place, {"buy": "a yacht"})
    await place.desk.decisions.decide(
        ANA, Shown.of(rejected), Verdict.REJECT, assurance=Assurance.LOCAL, comment="No.", looked=timedelta(seconds=9)
    )
    await place.desk.approvals.submit(ANA, "action", {"mine": "to take back"})
    await asked(place, {"buy": "a boat"}, claim="Only a small one")
    await place.ask("question", {"question": "Now?", "form": {"properties": {"when": {"type": "string"}}}})


async def test_t29_every_link_of_every_page_can_be_followed_and_nothing_happens(
    place: Place, http: httpx2.AsyncClient
) -> None:
    await a_days_work(place)
    cookie = {"cookie": place.headers(await place.signed_in())["cookie"]}
    before = await standing(place)
    to_follow, followed = ["/"], dict[str, int]()
    while to_follow:
        at = to_follow.pop()
        if at in followed or at in STREAMS:
            continue
        response = await http.get(at, headers=cookie)
        followed[at] = response.status_code
        if response.headers["content-type"].startswith("text/html"):
            links = [
                str(response.url.join(link.replace("&amp;", "&"))).partition("#")[0]
                for link in LINK.findall(response.text)
            ]
            assert all(link.startswith(place.address) for link in links), links
            to_follow += [link.removeprefix(place.address) or "/" for link in links]
    assert len(followed) > 20 and set(followed.values()) <= {200, 405, 422}, followed
    posting = {path for path, status in followed.items() if status == 405}
    assert {path.rpartition("/")[2] for path in posting} >= {"decide", "cancel", "lift", "verify", "sign-out"}
    assert await standing(place) == before


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "PROPFIND"])
async def test_t29_no_other_method_changes_anything_on_any_route(
    place: Place, http: httpx2.AsyncClient, method: str
) -> None:
    approval = await asked(place)
    headers = place.headers(await place.signed_in())
    query = {"verdict": "approve", "revision": "1", "digest": approval.digest, "id": approval.id, "step": "save"}
    before = await standing(place)
    for path in sorted({path for _, path in routes(place, approval)} - STREAMS):
        for sent in (headers, without(headers, "x-inbox-token"), without(headers, "origin"), {}):
            response = await http.request(method, path, params=query, headers=sent)
            allowed = {200, 303, 401, 404, 405, 422} if method in {"GET", "HEAD"} else {401, 403, 404, 405}
            assert response.status_code in allowed, (path, response.status_code)
    assert (await standing(place), (await place.now(approval)).decisions) == (before, ())


async def test_t29_opening_a_sign_in_link_does_not_use_it_up(place: Place, http: httpx2.AsyncClient) -> None:
    where = await place.link()
    for _ in range(3):
        assert (await http.get(where)).status_code == 200
        assert (await http.head(where)).status_code == 200
    code = where.partition("#")[2]
    response = await http.post("/sign-in", data={"code": code}, headers={"origin": place.address})
    assert response.status_code == 200


@pytest.mark.parametrize("tail", ["", "/decide", "/edit", "/cancel", "/lift", "/reconcile"])
async def test_t29_a_link_that_a_person_is_made_to_follow_decides_nothing(
    chromium: Browser, place: Place, hostile: Hostile, tail: str
) -> None:
    approval = await asked(place)
    target = f"{place.address}/approvals/{approval.id}{tail}?verdict=approve&revision=1&digest={approval.digest}"
    hostile.pages["/"] = (
        f'<!doctype html><link rel="prefetch" href="{target}"><a href="{target}&amp;step=save">Look</a>'
    )
    async with person(chromium, place) as page:
        before = await standing(place)
        tab = await page.context.new_page()
        await tab.goto(hostile.at("localhost"))
        await tab.get_by_role("link").click()
        await tab.wait_for_url(f"{place.address}/**")
        await tab.wait_for_load_state()
        assert (await standing(place), (await place.now(approval)).decisions) == (before, ())
