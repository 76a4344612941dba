"""Every page and state, light and dark, wide and narrow: axe-core finds nothing, and nothing runs off the screen."""

import os
from collections.abc import AsyncGenerator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect
from web.rig import ANA, Place, person, serving
from web.screenshots import POLICY, Time, a_day

from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import LOOPBACK

pytestmark = pytest.mark.anyio

AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
LOOK = """axe.run({ resultTypes: ["violations"] }).then(({ passes, violations }) => ({
  passes: passes.length,
  violations: violations.map(({ id, impact, nodes }) => ({
    id, impact, nodes: nodes.map(({ target, failureSummary }) => ({ target, failureSummary })),
  })),
}))"""
"""Brings back what is told: all that axe knows about what is right would be megabytes for each page."""
LONG = "a" * 300
Look = tuple[int, Literal["light", "dark"]]
LOOKS: list[Look] = [(1280, "light"), (390, "dark")]
MORE_LOOKS: list[Look] = [(1280, "dark"), (390, "light")]
Day = tuple[Place, dict[str, Approval]]


@pytest.fixture
async def day(tmp_path: Path) -> AsyncGenerator[Day]:
    """A desk with a day's work on it, with long words, everything stopped for one kind, and an unknown outcome."""
    time = Time()
    async with serving(tmp_path / "hitl.db", rulebook=parse(POLICY).rulebook, clock=time) as place:
        asked = await a_day(place, time)
        asked["long"] = await place.ask("delete", {"table": LONG, "rows": [LONG, {LONG: LONG}]}, claim=LONG)
        asked["mine"] = await place.desk.approvals.submit(ANA, "action", {"send": "it"}, claim="Send it")
        await place.desk.stops.pause(LOOPBACK, kind="delete")
        yield place, asked


def pages_of(asked: dict[str, Approval]) -> dict[str, str]:
    """Every page, by what is special about it."""
    ids = "&".join(f"id={asked[one].id}" for one in ("soon", "event", "press", "gifts"))
    return {
        "pending": "/",
        "nothing found": "/?text=nowhere",
        "history": "/history",
        "no history found": "/history?text=nowhere",
        "numbers": "/numbers",
        "evidence": "/evidence",
        "asked three times, edited": f"/approvals/{asked['event'].id}",
        "a form": f"/approvals/{asked['press'].id}",
        "rejected": f"/approvals/{asked['gifts'].id}",
        "long words": f"/approvals/{asked['long'].id}",
        "one's own": f"/approvals/{asked['mine'].id}",
        "editing": f"/approvals/{asked['train'].id}/edit",
        "editing as JSON": f"/approvals/{asked['train'].id}/edit?as=json",
        "batch": f"/batch?{ids}",
    }


async def settled(page: Page) -> None:
    """Return when nothing fades in any more, or a colour half-way would be judged."""
    await page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")


class Looker:
    """Looks at a page with axe-core, at its width, and remembers what is wrong with it."""

    def __init__(self, page: Page) -> None:
        """At `page`."""
        self.page = page
        self.found: list[str] = []

    async def goto(self, address: str) -> None:
        """Go to a page, and unfold all of it."""
        await self.page.goto(address)
        await self.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")

    async def look(self, at: str) -> None:
        """Look at what is shown now."""
        await settled(self.page)
        await self.page.evaluate(AXE)
        result: Any = await self.page.evaluate(LOOK)
        assert result["passes"] > 10, f"{at}: there was nothing to look at"
        for wrong in result["violations"]:
            for node in wrong["nodes"]:
                told = " ".join(node["failureSummary"].split())
                self.found.append(f"{at}: {wrong['impact']} {wrong['id']} {node['target']} {told}")
        await self.measure(at)

    async def measure(self, at: str) -> None:
        """See whether it fits the screen."""
        over = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            self.found.append(f"{at}: {over} px too wide")


@pytest.mark.parametrize(("width", "scheme"), [*LOOKS, *MORE_LOOKS] if os.environ.get("SOAK") else LOOKS)
async def test_axe_finds_nothing_and_nothing_runs_off_the_screen(
    chromium: Browser, day: Day, width: int, scheme: Literal["light", "dark"]
) -> None:
    place, asked = day
    async with person(chromium, place, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        looker = Looker(page)
        for name, path in pages_of(asked).items():
            await looker.goto(place.address + path)
            await looker.look(name)

        await page.goto(place.address)
        await page.locator("tbody input").first.check()
        await page.keyboard.press("j")
        await looker.look("one chosen, one under the keyboard")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await looker.look("the keys")

        await page.goto(f"{place.address}/approvals/{asked['train'].id}/edit")
        await page.get_by_label("amount").fill("12")
        await page.get_by_role("button", name="Show the change").click()
        await expect(page.locator(".difference")).to_be_visible()
        await looker.look("a change shown")

        await page.goto(f"{place.address}/evidence")
        await page.get_by_role("button", name="Check all of it now").click()
        await expect(page.locator(".decide .said")).to_contain_text("Intact")
        await looker.look("evidence checked")
        assert looker.found == []


async def test_no_page_runs_off_the_smallest_screen(chromium: Browser, day: Day) -> None:
    place, asked = day
    async with person(chromium, place, viewport={"width": 320, "height": 640}) as page:
        looker = Looker(page)
        for name, path in pages_of(asked).items():
            await looker.goto(place.address + path)
            await looker.measure(name)
        assert looker.found == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (320, "dark")])
async def test_axe_finds_nothing_where_something_went_wrong(
    chromium: Browser, day: Day, width: int, scheme: Literal["light", "dark"]
) -> None:
    place, asked = day
    context = await chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = await context.new_page()
    looker = Looker(page)
    await page.goto(f"{place.address}/approvals/{asked['train'].id}")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await looker.look("signing in")
    await page.get_by_label("Or paste the code").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("used already")
    await looker.look("a wrong code")
    await page.goto("about:blank")
    await page.goto(await place.link())
    await page.wait_for_url(place.address + "/")
    for name, path in {"no such page": "/nowhere", "no such approval": "/approvals/apr_0", "wrong": "/batch"}.items():
        await page.goto(place.address + path)
        await looker.look(name)

    await page.goto(f"{place.address}/approvals/{asked['train'].id}")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("alert")).to_contain_text("Give a reason")
    await looker.look("a reason missing")
    await place.desk.approvals.edit(
        ANA, Shown.of(asked["train"]), {**asked["train"].payload, "amount": 1}, assurance=Assurance.LOCAL
    )
    await expect(page.locator("#news")).to_contain_text("was edited")
    await looker.look("out of date")

    await page.goto(f"{place.address}/batch?id={asked['soon'].id}&id={asked['event'].id}")
    await page.get_by_label("Comment").fill("Fine.")
    await page.get_by_role("button", name="Approve 2").click()
    await expect(page.get_by_role("alert")).to_contain_text("2 of 2 recorded")
    await looker.look("a batch decided")
    assert looker.found == []
    await context.close()
