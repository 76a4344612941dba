"""An inbox that is really served, and a real browser in front of it."""

import json
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from asked import lunch
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from mcp_hitl.desk import Desk
from mcp_hitl.desk.sign_in import SignedIn
from mcp_hitl.desk.timekeeping import Clock, system_clock
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK, Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import serve
from mcp_hitl.protocols.http.listener import Listener
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.web.app import Inbox
from mcp_hitl.web.door import TOKEN, cookie_name
from mcp_hitl.web.sign_in import link

KEY = b"a key for tests, of 32 bytes or more"
ANA = Principal("os:ana", Established.OS_USER)
GUARD_SECONDS = 30
"""Longer than anything here takes: what runs into it hangs."""
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
]

_KEEP_TOKEN = """{
  const [address, token] = %s;
  if (location.origin === address && !sessionStorage.getItem("signed in once")) {
    sessionStorage.setItem("signed in once", "yes");
    localStorage.setItem("inbox-token", token);
  }
}"""
"""Keeps a session's token where signing in keeps it, once: a page that forgets it has forgotten it."""


@dataclass(slots=True)
class Place:
    """A desk whose inbox is served by this process."""

    desk: Desk
    origin: Origin
    database: str

    @property
    def address(self) -> str:
        """Its address, as a browser writes it."""
        return str(self.origin)

    async def link(self, path: str = "/") -> str:
        """A one-time link."""
        return link(self.origin, await self.desk.inbox.offer_link(ANA), path)

    async def signed_in(self) -> SignedIn:
        """A session, without a browser."""
        return await self.desk.inbox.sign_in(await self.desk.inbox.offer_link(ANA), at=self.origin)

    async def ask(self, kind: str = "expense", payload: JsonObject | None = None, **options: Any) -> Approval:
        """What an agent asks over HTTP."""
        usual: JsonObject = {"amount": 129.9, "currency": "EUR", "description": "Train to the customer in Lyon"}
        return await self.desk.approvals.submit(LOOPBACK, kind, usual if payload is None else payload, **options)

    async def now(self, approval: Approval) -> Approval:
        """It as it stands now."""
        return await self.desk.approvals.get(ANA, approval.id)

    def headers(self, session: SignedIn) -> dict[str, str]:
        """What a browser that is signed in sends along from a page of ours."""
        cookie = f"{cookie_name(self.database)}={self.database}.{session.secret}"
        return {"cookie": cookie, "origin": self.address, TOKEN: session.token}


@asynccontextmanager
async def serving(
    path: Path, *, rulebook: Rulebook | None = None, clock: Clock = system_clock, port: int = 0
) -> AsyncGenerator[Place]:
    """Serve the inbox of a database, as a server does."""
    store = SqliteStore(path)
    desk = Desk(store, effects=EFFECTS, rulebook=rulebook, clock=clock)
    inbox = Inbox(desk, key=KEY, how="mcp-hitl inbox")
    ready = anyio.Event()
    listener = Listener(inbox.app, "localhost", port, ready=lambda _: ready.set())
    try:
        async with serve(desk), inbox.open(), anyio.create_task_group() as tasks:

            async def listen() -> None:
                with anyio.CancelScope(shield=True):
                    assert await listener.run()

            tasks.start_soon(listen)
            with anyio.fail_after(GUARD_SECONDS):
                await ready.wait()
            if desk.inbox.take_inbox():
                await desk.inbox.announce_inbox(listener.address)
            try:
                yield Place(desk, listener.address, await desk.inbox.database_id())
            finally:
                tasks.cancel_scope.cancel()
                listener.stop()
                desk.inbox.leave_inbox()
    finally:
        await store.close()


def chromium(*, whole: bool = False) -> str:
    """Where the browser is; leaves the test out, saying why, where there is none.

    The headless shell is the same engine with a third of the work, but it keeps no page for the back button: `whole`
    is the browser that people use.
    """
    shells = [] if whole else ["chromium-headless-shell"]
    for name in (*shells, "chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium is installed")


@asynccontextmanager
async def browser() -> AsyncGenerator[Browser]:
    """A real Chromium, without a window."""
    path = chromium()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield running
        finally:
            await running.close()


@asynccontextmanager
async def person(
    running: Browser, place: Place, path: str = "/", *, refused: bool = False, **options: Any
) -> AsyncGenerator[Page]:
    """A page of a browser of its own that is signed in; what its console complains of fails the test.

    With `refused`, the server may refuse something, which the console tells as well. It has what signing in leaves in
    a browser, and no link was opened in it: `link` gives one to tests that are about that.
    """
    context: BrowserContext = await running.new_context(**options)
    session = await place.signed_in()
    name, _, value = place.headers(session)["cookie"].partition("=")
    await context.add_cookies(
        [{"name": name, "value": value, "url": place.address, "httpOnly": True, "sameSite": "Lax"}]
    )
    await context.add_init_script(_KEEP_TOKEN % json.dumps([place.address, session.token]))
    context.set_default_timeout(GUARD_SECONDS * 1000)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    await page.goto(place.address + path)
    try:
        yield page
        worse = [said for said in complaints if not (refused and said.startswith("Failed to load resource"))]
        assert worse == []
    finally:
        await context.close()


async def decide(
    place: Place, approval: Approval, verdict: Verdict = Verdict.APPROVE, comment: str = "So be it."
) -> None:
    """Somebody decides elsewhere."""
    held = await place.now(approval)
    await place.desk.decisions.decide(ANA, Shown.of(held), verdict, assurance=Assurance.LOCAL, comment=comment)


async def lunches(place: Place, count: int, first: int = 1) -> list[Approval]:
    """That many requests, in order."""
    return [await place.ask(payload=lunch(amount=n, description=f"Lunch {n}")) for n in range(first, first + count)]
