"""T31: a name that leads to this machine and is not its own gets nothing, on any route."""

from pathlib import Path

import anyio
import httpx2
import pytest
from playwright.async_api import Browser
from web.attack import asked, raw, routes, standing
from web.rig import GUARD_SECONDS, Place, person
from wires import http_server

from mcp_hitl.domain.values.origin import Origin

pytestmark = pytest.mark.anyio

EVIL = (
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example",
    "evil.example@127.0.0.1",
    "127.0.0.1@evil.example",
    "127.0.0.1:{port}@evil.example",
    "127.0.0.1/evil.example",
    "127.0.0.1:{port}/assets/",
    "127.0.0.1, evil.example",
    "127.0.0.1:{port}x",
    "127.0.0.2",
    "127.1",
    "0.0.0.0:{port}",
    "0:{port}",
    "2130706433",
    "[::ffff:127.0.0.1]",
    "[::1",
    "localhost.",
    "inbox.localhost:{port}",
    "",
)


async def test_t31_no_route_of_the_inbox_answers_to_another_name(place: Place, http: httpx2.AsyncClient) -> None:
    approval = await asked(place)
    headers = place.headers(await place.signed_in())
    port = place.address.rpartition(":")[2]
    before = await standing(place)
    for method, path in [*routes(place, approval), ("OPTIONS", "/"), ("GET", "/nowhere"), ("GET", "/assets/")]:
        for evil in EVIL:
            host = evil.format(port=port)
            own = headers | {"host": host, "origin": f"http://{host}"}
            response = await http.request(method, path, headers=own, data={"code": "x"} if method == "POST" else None)
            assert response.status_code == 421, (method, path, host)
            assert "set-cookie" not in response.headers and approval.id not in response.text
    assert await standing(place) == before


REQUESTS = {
    "no Host": "{method} {path} HTTP/1.1\nCookie: {cookie}\nConnection: close\n\n",
    "no Host, as of old": "{method} {path} HTTP/1.0\nCookie: {cookie}\n\n",
    "two Hosts": "{method} {path} HTTP/1.1\nHost: {host}\nHost: evil.example\nCookie: {cookie}\nConnection: close\n\n",
    "two Hosts, evil first": "{method} {path} HTTP/1.1\nHost: evil.example\nHost: {host}\nCookie: {cookie}\n\n",
    "two equal Hosts": "{method} {path} HTTP/1.1\nHost: {host}\nHost: {host}\nCookie: {cookie}\nConnection: close\n\n",
    "an evil name in the request line": (
        "{method} http://evil.example{path} HTTP/1.1\nHost: {host}\nCookie: {cookie}\nConnection: close\n\n"
    ),
    "an evil name in both": (
        "{method} http://evil.example{path} HTTP/1.1\nHost: evil.example\nCookie: {cookie}\nConnection: close\n\n"
    ),
    "a name that another header gives": (
        "{method} {path} HTTP/1.1\nHost: evil.example\nX-Forwarded-Host: {host}\nForwarded: host={host}\n"
        "Cookie: {cookie}\nConnection: close\n\n"
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_t31_a_request_that_does_not_say_plainly_whom_it_means_gets_nothing(place: Place, case: str) -> None:
    approval = await asked(place)
    headers = place.headers(await place.signed_in())
    host = place.address.removeprefix("http://")
    for method, path in routes(place, approval):
        if method == "HEAD":
            continue
        request = REQUESTS[case].format(method=method, path=path, host=host, cookie=headers["cookie"])
        status, answer = await raw(place.address, request)
        assert status in {400, 403, 404, 421}, (method, path, status)
        assert approval.id not in answer.partition("\r\n\r\n")[2] and "set-cookie" not in answer.lower()


async def test_t31_the_servers_own_routes_and_those_of_the_inbox(place: Place, tmp_path: Path) -> None:
    approval = await asked(place)
    paths = sorted({path for _, path in routes(place, approval)})
    database = tmp_path / "hitl.db"
    with http_server(database) as (url, _):
        address = url.removesuffix("/mcp")
        host = address.removeprefix("http://")
        async with httpx2.AsyncClient(base_url=address, timeout=GUARD_SECONDS) as http:
            for path in ["/mcp", "/healthz", "/readyz", "/", *paths]:
                for method in ("GET", "POST", "DELETE", "OPTIONS"):
                    response = await http.request(method, path, headers={"host": f"evil.example:{host}"})
                    assert response.status_code == 421, (method, path)
                    for request in ("no Host", "two Hosts", "an evil name in both"):
                        line = REQUESTS[request].format(method=method, path=path, host=host, cookie="")
                        status, _ = await raw(address, line)
                        assert status in {400, 421}, (method, path, request)


async def test_t31_a_name_that_was_rebound_to_this_machine_shows_nothing_in_a_browser(
    chromium: Browser, place: Place
) -> None:
    approval = await asked(place)
    port = place.address.rpartition(":")[2]
    async with person(chromium, place) as page:
        tab = await page.context.new_page()
        for path in ("/", "/sign-in", f"/approvals/{approval.id}", "/inbox/identity?challenge=" + "0" * 32):
            response = await tab.goto(f"http://rebound.example:{port}{path}")
            assert response is not None and response.status == 421
            assert await tab.locator("body").inner_text() == "Invalid Host header"
        # The page of that name can ask its own origin as it likes, and with everything a same-origin request has.
        script = (
            """async (path) => (await fetch(path, {method: "POST", body: new URLSearchParams({code: "x"})})).status"""
        )
        for path in ("/sign-in", f"/approvals/{approval.id}/decide", "/sign-out"):
            assert await tab.evaluate(script, path) == 421
        assert await page.context.cookies(f"http://rebound.example:{port}") == []


async def test_t31_the_identity_proves_nothing_for_another_address(place: Place) -> None:
    from web.rig import KEY

    from mcp_hitl.web.host import is_ours

    port = place.origin.port
    assert await is_ours(KEY, place.origin)
    assert not await is_ours(b"another key, of 32 bytes or more", place.origin)

    async def pass_on(stream: anyio.abc.SocketStream) -> None:  # a stranger who asks the real inbox and uses its answer
        async with stream, await anyio.connect_tcp("127.0.0.1", port) as real:
            await real.send(await stream.receive())
            while True:
                try:
                    await stream.send(await real.receive())
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, pass_on)
        there = listener.extra(anyio.abc.SocketAttribute.local_port)
        for name in ("127.0.0.1", "localhost"):
            assert not await is_ours(KEY, Origin("http", name, there))
        tasks.cancel_scope.cancel()
