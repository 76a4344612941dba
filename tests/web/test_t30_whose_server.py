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
from playwright.async_api import Browser, Page, expect
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


@pytest.mark.parametrize("how", ["a link", "a key", "a new tab", "the middle button", "a search", "a batch", "reload"])
async def test_t30_an_open_page_is_not_left_for_whoever_has_its_port_now(
    chromium: Browser, tmp_path: Path, how: str
) -> None:
    async with AsyncExitStack() as browsing:
        async with serving(tmp_path / "hitl.db") as first:
            await asked(first)
            page = await browsing.enter_async_context(visitor(chromium, first))
            await page.get_by_role("checkbox").check()
            await page.get_by_label("Search").fill("what I look for")
            await page.evaluate("window.same = 1")
        with stranger(first.origin.port, lambda _: (200, {"page": "0" * 64})) as sent:
            await page.wait_for_event("response", lambda one: "/inbox/identity" in one.url)
            await _leave(page, how)
            await expect(page.locator("#news")).to_contain_text("so it was not left")
            assert {urlsplit(path).path for path in sent} == {"/inbox/identity"}
            assert sent.cookies == []
        assert await page.evaluate("window.same") == 1 and len(page.context.pages) == 1


async def _leave(page: Page, how: str) -> None:
    """Do what leads away from a list."""
    history = page.get_by_role("link", name="History")
    match how:
        case "a link":
            await history.click()
        case "a key":
            await page.locator("tbody a").focus()
            await page.keyboard.press("Enter")
        case "a new tab":
            await history.click(modifiers=["ControlOrMeta"])
        case "the middle button":
            await history.click(button="middle")
        case "a search":
            await page.get_by_label("Search").press("Enter")
        case "a batch":
            await page.get_by_role("button", name="Look at them together").click()
        case _:  # as the news has it that come in the very moment
            await page.evaluate("""() => {
                const button = Object.assign(document.createElement("button"), {textContent: "Show it"});
                button.dataset.reload = "";
                document.querySelector("main").append(button);
                button.click();
            }""")


async def test_t30_a_page_is_left_in_every_way_once_its_server_has_proved_itself(
    chromium: Browser, place: Place
) -> None:
    approval = await asked(place)
    async with person(chromium, place) as page:
        history = page.get_by_role("link", name="History")
        for click in (
            lambda: history.click(modifiers=["ControlOrMeta"]),
            lambda: history.click(modifiers=["Shift"]),
        ):
            async with page.context.expect_page() as opening:
                await click()
            other = await opening.value
            await other.wait_for_url("**/history")
            await other.close()
        async with page.context.expect_page() as opening:
            await page.get_by_role("link", name="Numbers").click(button="middle")
        await (await opening.value).wait_for_url("**/numbers")
        assert page.url == place.address + "/"
        await page.get_by_label("Search").fill("mallory & co")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/?text=mallory+%26+co&kind=&requester=")
        await page.get_by_role("link", name="Clear").click()
        await page.wait_for_url(f"{place.address}/")
        await page.get_by_role("checkbox").check()
        await page.get_by_role("button", name="Look at them together").click()
        await page.wait_for_url(f"**/batch?id={approval.id}")
        await page.get_by_role("link", name="Evidence").click()
        async with page.expect_download() as saving:
            await page.get_by_role("link", name="Export", exact=True).click()
        assert (await saving.value).suggested_filename == "audit.jsonl"


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
