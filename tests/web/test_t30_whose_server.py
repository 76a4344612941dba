"""T30: a page that is open asks who answers before it sends or loads anything: it may be somebody else by now."""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import anyio.to_thread
import pytest
from inboxes import stranger
from playwright.async_api import Browser, expect
from web.attack import asked, visitor
from web.rig import Place, lunches, person, serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("how", ["rubbish", "relay"])
async def test_t30_an_open_page_gives_nothing_to_whoever_has_its_port_now(
    chromium: Browser, tmp_path: Path, how: str
) -> None:
    database = tmp_path / "hitl.db"
    async with AsyncExitStack() as browsing:
        async with serving(database) as first:
            approval = await asked(first)
            page = await browsing.enter_async_context(visitor(chromium, first, f"/approvals/{approval.id}"))
            await page.evaluate("window.same = 1")
        async with serving(database) as moved:  # where the inbox is when its port is taken

            def answer(path: str) -> tuple[int, Any]:
                if how == "rubbish" or not path.startswith("/inbox/identity"):
                    return 200, {"proof": "0" * 64, "page": "0" * 64, "reload": True}
                with urlopen(moved.address + path) as relayed:
                    return 200, json.load(relayed)

            with stranger(first.origin.port, answer) as sent:
                for _ in range(2):
                    await page.wait_for_event("response", lambda one: "/inbox/identity" in one.url)
                await page.get_by_role("button", name="Approve").click()
                await expect(page.locator(".decide .said").first).to_contain_text("so nothing was sent")
                assert {urlsplit(path).path for path in sent} == {"/inbox/identity"}
                assert sent.cookies == []
            assert await page.evaluate("window.same") == 1
            assert (await moved.now(approval)).decisions == ()


async def test_t30_no_other_page_of_the_same_origin_speaks_to_the_pages_of_a_session(
    chromium: Browser, place: Place
) -> None:
    async with person(chromium, place) as page:
        other = await page.context.new_page()
        await other.goto(place.address + "/assets/")  # it has no script of ours: so it is as a stranger's
        await other.evaluate("""async () => {
            const names = ["inbox", ...(await navigator.locks.query()).held.map((one) => one.name)];
            for (const name of names) new BroadcastChannel(name).postMessage({ reload: true });
        }""")
        await lunches(place, 1)
        await expect(page.get_by_role("link", name="Lunch 1")).to_be_visible()
        await expect(page.locator("#news")).to_be_hidden()
        assert await page.locator("meta[name=witness]").count() == 0, "nobody who reaches the document finds the secret"


async def test_t30_the_proof_is_for_one_page_and_one_challenge_alone(place: Place) -> None:
    def proof(name: str, challenge: str) -> Any:
        with urlopen(f"{place.address}/inbox/identity?challenge={challenge}&page={name}") as answer:
            return json.load(answer)["page"]

    ask = anyio.to_thread.run_sync
    wanted = [("a" * 64, "1" * 16), ("b" * 64, "1" * 16), ("a" * 64, "2" * 16)]
    assert len({await ask(proof, *one) for one in wanted}) == 3
    for name in ("", "a" * 63, "A" * 64, "a" * 65):
        assert await ask(proof, name, "1" * 16) is None
