"""The picture of the README: `make pictures` takes it anew, from a real run.

A real client asks a real server over HTTP and waits. A browser that has signed in with the server's link shows the
request, and somebody approves it there. Then the client's call returns.
"""

import base64
import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import anyio.to_thread
from mcp import Client
from mcp_types import CallToolResult
from playwright.async_api import Browser
from terminal import Terminal, terminal
from web.rig import browser
from wires import content, text

WIDTH, PANEL, HEIGHT = 860, 404, 480
"""Of the picture and of each of its four panels, as a reader of the README sees them."""
SHARP = 2
"""Pixels of the file for each of those."""
WINDOW = 500
"""How wide the browser is whose pages are shown that wide."""
READING = 5000
"""Milliseconds that a person takes to read: faster decisions would be marked."""
SERVER = """
import sys
from mcp_hitl.__main__ import main
from mcp_hitl.cli import os_user
os_user._name = lambda: "ana"
main()
"""
"""The program, with a person called ana, whoever takes the picture."""
EXPENSE = {
    "amount": 129.9,
    "currency": "EUR",
    "description": "Train to the customer in Lyon",
    "category": "travel",
}
CAPTIONS = ("The agent asks and waits", "You see exactly what would happen", "You decide", "The agent goes on")
STYLE = f"""
  body {{ margin: 0; padding: 16px; width: {WIDTH - 32}px; background: #fff; color: #1d2733;
    font: 15px/1.4 system-ui, "DejaVu Sans", sans-serif;
    display: grid; grid-template-columns: 1fr 1fr; gap: 16px 20px }}
  figure {{ margin: 0 }}
  figcaption {{ font-weight: 600; margin: 0 0 6px }}
  figcaption b {{ display: inline-block; width: 22px; height: 22px; margin-right: 8px; border-radius: 11px;
    background: #1d2733; color: #fff; font-size: 13px; line-height: 22px; text-align: center }}
  .shown {{ width: {PANEL}px; height: {HEIGHT}px; overflow: hidden; border: 1px solid #c9d1da; border-radius: 8px;
    box-sizing: border-box }}
  .shown img {{ display: block; width: {PANEL - 2}px }}
  .said {{ background: #f6f8fa; padding: 14px; font: 12.5px/1.5 "DejaVu Sans Mono", monospace; white-space: pre-wrap;
    overflow-wrap: anywhere }}
  .said i {{ font-style: normal; color: #0b5cad; font-weight: 600 }}
  .said u {{ text-decoration: none; color: #5b6673 }}
"""


class Played:
    """What was said and shown, in order."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.asked: list[tuple[str, str]] = []
        self.returned: list[tuple[str, str]] = []
        self.pages: list[bytes] = []


async def play(server: Terminal, running: Browser) -> Played:
    """Ask, look, approve, go on."""
    played = Played()
    announced = await anyio.to_thread.run_sync(server.until, "Stop with Ctrl-C.")
    endpoint, link = re.findall(r"http://\S+", announced)[:2]
    async with Client(endpoint) as agent:
        asked = await agent.call_tool("submit-expense", EXPENSE)
        approval_id = content(asked)["id"]
        waiting = {"id": approval_id, "timeout_seconds": 300}
        played.asked = [called("submit-expense", EXPENSE), shortly(asked), called("wait-for-approval", waiting)]
        decided: list[CallToolResult] = []

        async def wait() -> None:
            decided.append(await agent.call_tool("wait-for-approval", waiting))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await decide(running, link, approval_id, played)
        done = await agent.call_tool("get-approval", {"id": approval_id})
        played.returned = [answered(decided[0]), called("get-approval", {"id": approval_id}), carried_out(done)]
    return played


async def decide(running: Browser, link: str, approval_id: str, played: Played) -> None:
    """Somebody signs in, reads, writes a comment and approves."""
    shrunk = (PANEL - 2) / WINDOW
    size: Any = {"width": WINDOW, "height": round((HEIGHT - 2) / shrunk)}
    context = await running.new_context(viewport=size, device_scale_factor=SHARP * shrunk, color_scheme="light")
    page = await context.new_page()
    await page.goto(link)
    await page.get_by_role("link", name=re.compile(str(EXPENSE["description"]))).first.click()
    await page.wait_for_url(re.compile(approval_id))
    await page.locator("h1").evaluate("title => title.scrollIntoView()")
    await page.mouse.wheel(0, -44)
    await page.wait_for_timeout(READING)
    played.pages.append(await page.screenshot())
    approve = page.locator("button.approve")
    await page.locator("textarea").first.fill("Have a good trip.")
    await page.locator("textarea").first.evaluate(
        "area => scrollBy(0, area.closest('form').getBoundingClientRect().bottom - innerHeight + 120)"
    )
    await approve.hover()
    played.pages.append(await page.screenshot())
    await approve.click()
    await page.get_by_text("approved").first.wait_for()
    await context.close()


def called(tool: str, arguments: Any) -> tuple[str, str]:
    """A call, as the log of a client shows it."""
    return "agent", f"{tool} {json.dumps(arguments, indent=2)}"


def shortly(result: CallToolResult) -> tuple[str, str]:
    """How such a text begins. It goes on with what to do next."""
    first, second, *_ = text(result).splitlines()
    return "server", f"{first}\n{second}\n…"


def answered(result: CallToolResult) -> tuple[str, str]:
    """The text that the model reads."""
    return "server", text(result)


def carried_out(result: CallToolResult) -> tuple[str, str]:
    """What became of the action."""
    return "server", "outcome: " + json.dumps(content(result)["outcome"], indent=2)


def panel(number: int, shown: str) -> str:
    """One of the four, with its number and caption."""
    return f"<figure><figcaption><b>{number}</b>{CAPTIONS[number - 1]}</figcaption>{shown}</figure>"


def said(lines: list[tuple[str, str]]) -> str:
    """A conversation, as a terminal shows it."""
    marks = {"agent": "i", "server": "u"}
    told = (f"<{marks[who]}>{who}</{marks[who]}>  {escaped(what)}" for who, what in lines)
    return '<div class="shown said">' + "\n\n".join(told) + "</div>"


def escaped(what: str) -> str:
    """Text for HTML."""
    return what.replace("&", "&amp;").replace("<", "&lt;")


def seen(page: bytes) -> str:
    """A picture of a page."""
    return f'<div class="shown"><img src="data:image/png;base64,{base64.b64encode(page).decode()}"></div>'


async def tell(picture: Path) -> None:
    """Play the story, and join its four panels in one picture."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SERVER, "--db", str(Path(folder) / "hitl.db"), "serve", "--port", "0"]
        with terminal(command) as server:
            async with browser() as running:
                played = await play(server, running)
                first, second = played.pages
                shown = (said(played.asked), seen(first), seen(second), said(played.returned))
                page = await running.new_page(viewport={"width": WIDTH, "height": 600}, device_scale_factor=SHARP)
                panels = "".join(panel(number, one) for number, one in enumerate(shown, start=1))
                await page.set_content(f"<!doctype html><style>{STYLE}</style>{panels}")
                await page.screenshot(path=picture, full_page=True)


if __name__ == "__main__":
    anyio.run(tell, Path(__file__).parents[2] / "docs" / "images" / "story.png")
