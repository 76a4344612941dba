"""T22: who is not signed in sees nothing; a link signs one browser in, once; nothing of another database is here."""

from datetime import timedelta
from pathlib import Path

import anyio
import httpx2
import pytest
from playwright.async_api import Browser, expect
from web.attack import CHANGING, a_form, asked, program, routes, sealed_on, standing, visitor, without
from web.rig import ANA, GUARD_SECONDS, Place, person, serving

from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.canonical import canonical, digest_of
from mcp_hitl.domain.values.errors import NotAllowed
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.web.door import TOKEN, cookie_name

pytestmark = pytest.mark.anyio

PUBLIC = {"/sign-in", "/inbox/identity"}
"""What works without a sign-in, beside the assets; it shows nothing of what is pending."""
TEAM = """
profile = "team"
[people]
finance = ["bo@example.com", "cy@example.com"]
[kinds.pay]
schema = {}
assurance = "local"
[[kinds.pay.stages]]
approvers = ["group:finance"]
quorum = 1
"""


async def sees_nothing(place: Place, headers: dict[str, str]) -> None:
    """Whoever sends these headers gets nothing and changes nothing, on every route that there is."""
    secret = await asked(place, {"canary": "Kanarienvogel"})
    before = await standing(place)
    async with program(place) as http:
        for method, path in routes(place, secret):
            response = await http.request(method, path, headers=headers, params={"id": secret.id, "after": "0"})
            if path in PUBLIC and method != "POST":
                assert response.status_code in {200, 422}, (method, path)
            elif path.startswith("/assets/"):
                assert response.status_code == 404  # the real ones stand under their digest
            elif method in CHANGING:
                assert response.status_code in {401, 403, 422}, (method, path, response.status_code)
            else:
                assert response.status_code in {303, 401}, (method, path, response.status_code)
                assert response.headers.get("location", "/sign-in").startswith("/sign-in")
            told = response.text + str(response.headers)
            assert "Kanarienvogel" not in told and "canary" not in told and "inbox_" not in told
    now = await place.now(secret)
    assert (await standing(place), now.status.value) == (before, "pending")


async def test_t22_who_is_not_signed_in_sees_nothing_on_any_route(place: Place) -> None:
    await sees_nothing(place, {})
    await sees_nothing(place, {"origin": place.address})


@pytest.mark.parametrize(
    "case", ["no secret", "a wrong secret", "only a name", "the token", "a digest", "another name"]
)
async def test_t22_a_cookie_that_is_none_shows_nothing(place: Place, case: str) -> None:
    session = await place.signed_in()
    name, database = cookie_name(place.database), place.database
    cookie = {
        "no secret": f"{name}={database}.",
        "a wrong secret": f"{name}={database}.{session.secret[:-1]}",
        "only a name": f"{name}={session.secret}",
        "the token": f"{name}={database}.{session.token}",
        "a digest": f"{name}={database}.{session.session.digest}",
        "another name": f"inbox={database}.{session.secret}",
    }[case]
    await sees_nothing(place, place.headers(session) | {"cookie": cookie})


async def test_t22_who_has_signed_out_sees_nothing_any_more(place: Place, http: httpx2.AsyncClient) -> None:
    headers = place.headers(await place.signed_in())
    assert (await http.get("/", headers=headers)).status_code == 200
    assert (await http.post("/sign-out", headers=headers)).status_code == 200
    await sees_nothing(place, headers)


async def test_t22_a_used_link_goes_on_for_the_pages_that_are_signed_in_and_for_nobody_else(
    place: Place, http: httpx2.AsyncClient
) -> None:
    mine = place.headers(await place.signed_in())
    code = await place.desk.inbox.offer_link(ANA)
    again = {"code": code, "next": "/history"}
    await place.desk.inbox.sign_in(code, at=place.origin)
    answer = await http.post("/sign-in", data=again, headers=mine)
    assert (answer.status_code, answer.json()) == (200, {"go": "/history"}) and "set-cookie" not in answer.headers
    elsewhere = await place.desk.inbox.sign_in(
        await place.desk.inbox.offer_link(ANA), at=Origin("http", "127.0.0.1", 1)
    )
    for headers in (
        {"origin": place.address},
        {name: value for name, value in mine.items() if name != "cookie"},
        {name: value for name, value in mine.items() if name != TOKEN},
        mine | {TOKEN: "x" * 43},
        place.headers(elsewhere),
    ):
        assert (await http.post("/sign-in", data=again, headers=headers)).status_code == 403
    await http.post("/sign-out", headers=mine)
    assert (await http.post("/sign-in", data=again, headers=mine)).status_code == 403


async def test_t22_a_link_that_is_opened_again_leads_on_in_the_browser_that_used_it(
    place: Place, chromium: Browser
) -> None:
    async with person(chromium, place) as page:
        used = await place.link("/history")
        await page.goto(used)
        await page.wait_for_url(f"{place.address}/history")
        await page.goto(f"{place.address}/numbers")
        await page.goto(used)
        await page.wait_for_url(f"{place.address}/history")


async def test_t22_signing_out_ends_that_session_alone(place: Place, http: httpx2.AsyncClient) -> None:
    mine, other = place.headers(await place.signed_in()), place.headers(await place.signed_in())
    await http.post("/sign-out", headers=mine)
    assert (await http.get("/", headers=other)).status_code == 200


async def test_t22_a_session_ends_by_itself(tmp_path: Path) -> None:
    from web.test_t07_stale_and_replayed import Clock

    clock = Clock()
    async with serving(tmp_path / "hitl.db", clock=clock) as place, program(place) as http:
        headers = place.headers(await place.signed_in())
        clock.ahead = timedelta(days=7) - timedelta(minutes=1)
        assert (await http.get("/", headers=headers)).status_code == 200
        clock.ahead = timedelta(days=7, seconds=1)
        await sees_nothing(place, headers)
        clock.ahead = timedelta(0)
        await place.desk.stops.reset_clock(ANA)


async def listen(place: Place, headers: dict[str, str], opened: anyio.Event) -> str:
    """Everything that an event stream says until the server ends it."""
    said = ""
    async with program(place) as http, http.stream("GET", "/live", headers=headers) as stream:
        assert stream.status_code == 200
        async for piece in stream.aiter_text():
            said += piece
            if "event: open" in said:
                opened.set()
    return said


async def test_t22_an_event_stream_ends_with_its_session(place: Place, http: httpx2.AsyncClient) -> None:
    mine, other = place.headers(await place.signed_in()), place.headers(await place.signed_in())
    ended: dict[str, str] = {}
    opened = {"mine": anyio.Event(), "other": anyio.Event()}

    async def follow(who: str, headers: dict[str, str], tasks: anyio.abc.TaskGroup) -> None:
        ended[who] = await listen(place, headers, opened[who])
        tasks.cancel_scope.cancel()

    with anyio.fail_after(GUARD_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, "mine", mine, tasks)
            tasks.start_soon(follow, "other", other, tasks)
            for event in opened.values():
                await event.wait()
            assert (await http.post("/sign-out", headers=mine)).status_code == 200
    assert list(ended) == ["mine"]


async def test_t22_an_event_stream_ends_when_its_session_does(tmp_path: Path) -> None:
    from web.test_t07_stale_and_replayed import Clock

    clock = Clock()
    async with serving(tmp_path / "hitl.db", clock=clock) as place:
        headers = place.headers(await place.signed_in())
        clock.ahead = timedelta(days=7) - timedelta(seconds=1)
        with anyio.fail_after(GUARD_SECONDS):
            assert "event: open" in await listen(place, headers, anyio.Event())


async def test_t22_in_the_browser_a_page_is_left_as_soon_as_another_one_signs_out(
    chromium: Browser, place: Place
) -> None:
    approval = await asked(place)
    async with visitor(chromium, place) as page:
        other = await page.context.new_page()
        await other.goto(f"{place.address}/approvals/{approval.id}")
        await expect(other.get_by_role("button", name="Approve")).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        for tab in (page, other):
            await expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
        await other.go_back()
        assert await other.get_by_role("button", name="Approve").count() == 0, "and it does not come back"
        assert await page.context.cookies() == []


async def test_t22_a_link_signs_one_browser_in_and_no_second_one(chromium: Browser, place: Place) -> None:
    where = await place.link()
    async with visitor(chromium, place):
        pass
    first, second = await chromium.new_context(), await chromium.new_context()
    try:
        page, late = await first.new_page(), await second.new_page()
        await page.goto(where)
        await page.wait_for_url(f"{place.address}/")
        await late.goto(where)
        await expect(late.get_by_role("alert").filter(has_text="was used already")).to_be_visible()
        assert await second.cookies() == [] and await late.evaluate("localStorage.length") == 0
    finally:
        await first.close()
        await second.close()


async def test_t22_of_many_who_use_a_link_at_once_one_is_signed_in(place: Place, http: httpx2.AsyncClient) -> None:
    code = await place.desk.inbox.offer_link(ANA)
    came: list[httpx2.Response] = []

    async def race() -> None:
        came.append(await http.post("/sign-in", data={"code": code}, headers={"origin": place.address}))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(race)
    assert sorted(response.status_code for response in came) == [200] + [403] * 19
    assert [("set-cookie" in one.headers, "token" in one.json()) for one in came if one.status_code == 403] == [
        (False, False)
    ] * 19


async def test_t22_of_two_processes_that_take_a_link_at_once_one_gets_it(tmp_path: Path) -> None:
    async with serving(tmp_path / "hitl.db") as one, serving(tmp_path / "hitl.db") as two:
        for _ in range(10):
            code = await one.desk.inbox.offer_link(ANA)
            got: list[bool] = []

            async def race(place: Place, code: str = code, got: list[bool] = got) -> None:
                try:
                    await place.desk.inbox.sign_in(code)
                    got.append(True)
                except NotAllowed:
                    got.append(False)

            async with anyio.create_task_group() as tasks:
                for place in (one, two, one, two):
                    tasks.start_soon(race, place)
            assert sorted(got) == [False, False, False, True]


async def test_t22_a_link_that_is_too_old_or_none_signs_nobody_in(tmp_path: Path) -> None:
    from web.test_t07_stale_and_replayed import Clock

    clock = Clock()
    async with (
        serving(tmp_path / "hitl.db", clock=clock) as place,
        serving(tmp_path / "other.db") as elsewhere,
        program(place) as http,
    ):
        old, fresh = await place.desk.inbox.offer_link(ANA), ""
        clock.ahead = timedelta(minutes=9, seconds=50)
        fresh = await place.desk.inbox.offer_link(ANA)
        clock.ahead = timedelta(minutes=10, seconds=1)
        foreign = await elsewhere.desk.inbox.offer_link(ANA)
        session = await place.signed_in()
        wrong = (
            old,
            foreign,
            "",
            " ",
            "x",
            session.secret,
            session.token,
            session.session.digest,
            fresh[:-1],
            fresh * 2,
        )
        for code in wrong:
            response = await http.post("/sign-in", data={"code": code}, headers={"origin": place.address})
            assert (response.status_code, response.json()["code"]) == (403, "not_allowed"), code
            assert "set-cookie" not in response.headers
        assert (await elsewhere.desk.inbox.sign_in(foreign)).session.who.id == ANA.id, "where it belongs it is good"
        good = await http.post("/sign-in", data={"code": fresh}, headers={"origin": place.address})
        assert good.status_code == 200


async def test_t22_a_sign_in_leads_nowhere_but_into_the_inbox(place: Place, http: httpx2.AsyncClient) -> None:
    for away in (
        "http://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:x", "data:,x",
        "/ok#x", "/a\nb", "/\t/evil.example", "", "evil", "https:evil.example", "/@evil.example\u202e",
        "///evil.example",
    ):  # fmt: skip
        code = await place.desk.inbox.offer_link(ANA)
        response = await http.post("/sign-in", data={"code": code, "next": away}, headers={"origin": place.address})
        assert response.json()["go"] == "/", away
        shown = await http.get("/sign-in", params={"next": away})
        assert 'name="next" value="/"' in shown.text, away


async def test_t22_a_session_of_another_database_is_none_here_even_with_the_same_secret(tmp_path: Path) -> None:
    async with serving(tmp_path / "one.db") as one, serving(tmp_path / "two.db") as two:
        session = await one.signed_in()
        headers = one.headers(session) | {"origin": two.address}
        await sees_nothing(two, headers)
        await sees_nothing(
            two, headers | {"cookie": headers["cookie"].replace(one.database[:16], two.database[:16], 1)}
        )
        # The very same secret and token, known to both databases: the cookie still says which one it is of.
        (two_store, one_store) = (two.desk.store, one.desk.store)
        held = await one_store.read(lambda view: view.sessions.get(session.session.digest))
        assert held is not None
        await two_store.write(lambda tx: tx.sessions.add(held))
        await sees_nothing(two, headers | {"cookie": f"{cookie_name(two.database)}={one.database}.{session.secret}"})
        async with program(two) as http:
            own = two.headers(session)
            assert (await http.get("/", headers=own)).status_code == 200, "the secret itself is good there"


async def test_t22_an_approval_of_another_database_is_not_found(tmp_path: Path) -> None:
    async with serving(tmp_path / "one.db") as one, serving(tmp_path / "two.db") as two, program(two) as http:
        foreign = await asked(one, {"canary": "Kanarienvogel"})
        async with program(one) as at_home:
            sealed = await sealed_on(at_home, one.headers(await one.signed_in()), foreign)
        headers = two.headers(await two.signed_in())
        for tail in ("", "/edit"):
            response = await http.get(f"/approvals/{foreign.id}{tail}", headers=headers)
            assert response.status_code == 404 and "There is no such approval" in response.text
        assert (await http.get("/batch", params={"id": foreign.id}, headers=headers)).status_code == 404
        for tail in ("decide", "edit", "cancel", "lift", "reconcile"):
            fields = a_form(foreign, sealed, "reject", comment="x", succeeded="yes")
            response = await http.post(f"/approvals/{foreign.id}/{tail}", data=fields, headers=headers)
            assert (response.status_code, response.json()["code"]) == (404, "not_found"), tail
        for odd in (
            "x",
            "apr_",
            foreign.id.upper(),
            foreign.id + "0",
            "%00",
            "..%2f..",
            "apr_%27;DROP TABLE approvals",
        ):
            assert (await http.get(f"/approvals/{odd}", headers=headers)).status_code in {404, 307}, odd
        assert (await one.now(foreign)).status.value == "pending"


async def test_t22_whoever_is_no_approver_can_look_and_not_decide(chromium: Browser, tmp_path: Path) -> None:
    async with serving(tmp_path / "hitl.db", rulebook=parse(TEAM).rulebook) as place, program(place) as http:
        agent = Principal("agent@example.com", Established.PROGRAM)
        approval = await place.desk.approvals.submit(agent, "pay", {"to": "mallory"})
        other = await place.desk.approvals.submit(agent, "pay", {"to": "alice"})
        headers = place.headers(await place.signed_in())
        sealed = await sealed_on_edit_or_page(http, headers, approval.id)
        before = await standing(place)
        for verdict in ("approve", "reject"):
            fields = a_form(approval, sealed, verdict, comment="As if.")
            refused = await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed"), refused.text
            item = f"{approval.id} 1 {approval.digest} {sealed}"
            batch = await http.post("/batch", data={"verdict": verdict, "comment": "x", "item": item}, headers=headers)
            assert batch.json()["results"][0]["done"] is False
        wanted = digest_of(canonical(approval.payload | {"to": "me"}, what="payload"))
        for tail, fields in (
            ("edit", {"shown": sealed, "step": "review", "text.to": "me"}),
            ("edit", {"shown": sealed, "step": "save", "text.to": "me", "wanted": wanted}),
            ("lift", {}),
        ):
            refused = await http.post(f"/approvals/{approval.id}/{tail}", data=fields, headers=headers)
            assert refused.status_code == 403, (tail, refused.text)
        assert (await standing(place), await place.now(approval)) == (before, approval)
        async with person(chromium, place, f"/approvals/{approval.id}") as page:
            await expect(page.locator(".payload")).to_contain_text("mallory")
            for name in ("Approve", "Reject", "Save as revision 2"):
                assert await page.get_by_role("button", name=name).count() == 0
            await page.goto(f"{place.address}/approvals/{approval.id}/edit")
            await expect(page.locator("main")).to_contain_text("You can't decide")
            await page.goto(f"{place.address}/batch?id={approval.id}&id={other.id}")
            await expect(page.get_by_role("button", name="Approve 0")).to_be_disabled()


async def sealed_on_edit_or_page(http: httpx2.AsyncClient, headers: dict[str, str], approval_id: str) -> str:
    """A seal for what this person may not decide: their page carries none, so somebody else's."""
    from web.rig import KEY

    from mcp_hitl.web.page_seals import Seals

    text = (await http.get(f"/approvals/{approval_id}", headers=without(headers, TOKEN))).text
    assert 'name="shown"' not in text
    revision = text.split('data-revision="')[1].split('"')[0]
    digest = "sha256:" + text.split("sha256:")[1].split(" ")[0]
    serializer = Seals(KEY)._serializer  # pyright: ignore[reportPrivateUsage]
    return str(serializer.dumps([approval_id, int(revision), digest, "a nonce", 0, 1]))
