"""The pictures of docs/how-to/use-the-inbox.md: `make pictures` takes them anew, from a desk with a day's work on it.

`python tests/web/screenshots.py FOLDER` takes one of every page, to look at.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from playwright.async_api import Page
from web.rig import ANA, Place, browser, person, serving

from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.values.canonical import JsonObject

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SHOWN = {"pending", "approval", "batch"}
SIZES = {"wide": (1280, 800), "narrow": (390, 844)}
POLICY = """
[kinds.publish]
title = "Publish “{headline}”"
  [kinds.publish.schema]
  type = "object"
  required = ["headline"]
    [kinds.publish.schema.properties]
    headline = { type = "string", title = "Headline" }
    body = { type = "string", title = "Text" }
    channels = { type = "array", title = "Where" }
  [kinds.publish.form]
  required = ["tone"]
    [kinds.publish.form.properties]
    embargo = { type = "string", title = "Not before", format = "date" }
    tone = { type = "string", title = "Tone", enum = ["as it is", "softer"] }

[kinds.delete]
title = "Delete rows of {table}"
  [kinds.delete.schema]
  type = "object"
  required = ["table", "rows"]
    [kinds.delete.schema.properties]
    table = { type = "string" }
    rows = { type = "array" }
  [[kinds.delete.stages]]
  approvers = ["local"]
  [[kinds.delete.stages]]
  approvers = ["local"]

[kinds.expense]
"""


class Time:
    """A clock that goes with the wall, and can be set back for what happened earlier."""

    def __init__(self) -> None:
        self.ago = timedelta(0)

    def __call__(self) -> datetime:
        """The present instant, some time ago."""
        return (datetime.now(UTC) - self.ago).replace(microsecond=0)


async def a_day(place: Place, time: Time) -> dict[str, Approval]:
    """What a desk looks like at six in the evening."""

    async def decide(approval: Approval, verdict: Verdict, comment: str | None, looked: float) -> None:
        held = await place.now(approval)
        await place.desk.decisions.decide(
            ANA, Shown.of(held), verdict, assurance=Assurance.LOCAL, comment=comment, looked=timedelta(seconds=looked)
        )

    def expense(amount: float, what: str, **more: str) -> JsonObject:
        return {"amount": amount, "currency": "EUR", "description": what, **more}

    time.ago = timedelta(days=6, hours=20)
    soon = await place.ask(payload=expense(2480, "Trade fair in Hanover, stand and travel", category="marketing"))
    time.ago = timedelta(hours=30)
    gifts = await place.ask(payload=expense(940, "Gift cards for the partner team"))
    time.ago = timedelta(hours=26)
    await decide(gifts, Verdict.REJECT, "No gift cards: the policy says so. Ask for a team lunch instead.", 41)
    time.ago = timedelta(hours=9)
    small = await place.ask(payload=expense(18.4, "Taxi to the station", category="travel"))
    await decide(small, Verdict.APPROVE, None, 1.2)
    time.ago = timedelta(hours=7)
    rows: list[str] = [f"inactive since 2021, id {number}" for number in range(4101, 4101 + 36)]
    await place.ask("delete", {"table": "customers", "rows": rows}, claim="Cleaning up some old test rows.")
    time.ago = timedelta(hours=5)
    press = await place.ask(
        "publish",
        {
            "headline": "Opening in Lyon on 1 December",
            "body": "We open our second office.\n\nThe team of twelve is led by Chloé Martin.",
            "channels": ["website", "newsletter"],
        },
        claim="A short and friendly announcement.",
    )
    time.ago = timedelta(hours=2)
    lunch = await place.ask(payload=expense(1940, "Team event for the partner team", category="team"))
    for _ in range(2):
        await place.ask(payload=expense(1940, "Team event for the partner team", category="team"))
    time.ago = timedelta(minutes=40)
    await place.desk.approvals.edit(
        ANA,
        Shown.of(lunch),
        expense(960, "Team event for the partner team", category="team"),
        assurance=Assurance.LOCAL,
        comment="Half of them are on leave.",
    )
    time.ago = timedelta(minutes=12)
    train = await place.ask(payload=expense(129.9, "Train to the customer in Lyon", category="travel"))
    time.ago = timedelta(0)
    await place.ask("question", {"question": "The invoice of Dupont SA names no VAT number. Pay it anyway?"})
    return {"soon": soon, "press": press, "event": lunch, "train": train, "gifts": gifts}


async def main(folder: Path) -> None:
    """Take every picture."""
    time = Time()
    with TemporaryDirectory() as data:
        async with (
            serving(Path(data) / "hitl.db", rulebook=parse(POLICY).rulebook, clock=time) as place,
            browser() as running,
        ):
            asked = await a_day(place, time)
            for size, (width, height) in SIZES.items():
                for scheme in ("light", "dark"):
                    options: dict[str, Any] = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
                    async with person(running, place, **options) as page:
                        await take(page, place, asked, folder, f"{size}-{scheme}")


async def take(page: Page, place: Place, asked: dict[str, Approval], folder: Path, name: str) -> None:
    """Take the pictures of one size and scheme."""

    async def at(what: str, path: str) -> None:
        if folder == IMAGES and what not in SHOWN:
            return
        await page.goto(place.address + path)
        await page.screenshot(path=folder / f"{what}-{name}.png", full_page=True)

    ids = "&".join(f"id={asked[one].id}" for one in ("soon", "event", "press"))
    await at("pending", "/")
    await at("approval", f"/approvals/{asked['event'].id}")
    await at("form", f"/approvals/{asked['press'].id}")
    await at("edit", f"/approvals/{asked['train'].id}/edit")
    await at("rejected", f"/approvals/{asked['gifts'].id}")
    await at("batch", f"/batch?{ids}")
    await at("history", "/history")
    await at("numbers", "/numbers")
    await at("evidence", "/evidence")
    await at("nothing", "/?text=nowhere")


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
