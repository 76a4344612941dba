"""What an attacker has: a hostile server on this machine, raw requests, and every route of the inbox."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

import anyio
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream
from playwright.async_api import Browser, Page
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send
from web.rig import ANA, GUARD_SECONDS, KEY, Place

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.web.app import Inbox
from mcp_hitl.web.door import Door
from mcp_hitl.web.rendering import STATIC

CHANGING = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(slots=True)
class Received:
    """A request that came to the hostile server."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that the browser sent along."""
        return {name: held.value for name, held in SimpleCookie(self.headers.get("cookie", "")).items()}


@dataclass(slots=True)
class Hostile:
    """A server of somebody else on another port of this machine; it serves `pages` and remembers who came."""

    port: int
    pages: dict[str, str] = field(default_factory=dict[str, str])
    received: list[Received] = field(default_factory=list[Received])

    def at(self, host: str, path: str = "/") -> str:
        """Its address under one of the names of this machine."""
        return f"http://{host}:{self.port}{path}"

    async def answer(self, stream: SocketStream) -> None:
        """Serve one connection, and close it."""
        async with stream:
            try:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += await stream.receive()
            except anyio.EndOfStream:  # a browser that opens a connection on the off chance
                return
            first, *lines = asked.partition(b"\r\n\r\n")[0].decode().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            self.received.append(Received(method, path, headers))
            page = self.pages.get(path.partition("?")[0], "<!doctype html><title>Hostile</title>").encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\nConnection: close"
            await stream.send(head.encode() + b"\r\n\r\n" + page)


@asynccontextmanager
async def hostile_server() -> AsyncGenerator[Hostile]:
    """Serve, until the block ends."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        hostile = Hostile(listener.extra(SocketAttribute.local_port))
        tasks.start_soon(listener.serve, hostile.answer)
        yield hostile
        tasks.cancel_scope.cancel()


async def raw(address: str, request: str) -> tuple[int, str]:
    """Send a request exactly as it is written; returns the status and everything that came back."""
    port = int(address.rpartition(":")[2])
    got = b""
    with anyio.fail_after(GUARD_SECONDS):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request.replace("\n", "\r\n").encode())
            while True:
                try:
                    got += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    break
    return int(got.split()[1]), got.decode()


@asynccontextmanager
async def program(place: Place) -> AsyncGenerator[httpx2.AsyncClient]:
    """A program that speaks HTTP to the inbox, and can say whatever it wants."""
    async with httpx2.AsyncClient(base_url=place.address, timeout=GUARD_SECONDS) as http:
        yield http


@dataclass(slots=True)
class Heard:
    """A request as it came to the inbox, and what it was answered."""

    method: str
    path: str
    headers: Headers
    status: int = 0


def hear(monkeypatch: pytest.MonkeyPatch) -> list[Heard]:
    """Everything that is asked of the inbox from now on, whoever sends it."""
    heard: list[Heard] = []
    behind = Door.__call__

    async def listening(door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        one = Heard(scope["method"], scope["path"], Headers(scope=scope))
        heard.append(one)

        async def sending(message: Message) -> None:
            one.status = message.get("status", one.status)
            await send(message)

        await behind(door, scope, receive, sending)

    monkeypatch.setattr(Door, "__call__", listening)
    return heard


async def asked(place: Place, payload: JsonObject | None = None, **options: Any) -> Approval:
    """An action that waits quietly: no flow adds to the log by itself."""
    return await place.ask("action", {"pay": "mallory", "amount": 900} if payload is None else payload, **options)


def routes(place: Place, approval: Approval) -> list[tuple[str, str]]:
    """Method and path of every route that the inbox has, read off its own table, about one approval."""
    inbox = Inbox(place.desk, key=KEY, how="")
    asset = next(iter(sorted(STATIC.iterdir()))).name
    found: list[tuple[str, str]] = []
    for route in inbox.app.routes:
        assert isinstance(route, Route), "a route of another sort needs a place in these tests"
        path = route.path.format(id=approval.id, digest="0" * 12, file=asset)
        found += [(method, path) for method in sorted(route.methods or ())]
    return found


async def standing(place: Place) -> tuple[int, str]:
    """How many entries the audit log has, and its head: nothing at all can happen without changing them."""
    return await place.desk.evidence.head()


def a_form(approval: Approval, sealed: str, verdict: str = "approve", **more: str) -> dict[str, str]:
    """What the page of an approval posts when somebody decides."""
    return {
        "revision": str(approval.revision),
        "digest": approval.digest,
        "shown": sealed,
        "comment": "",
        "verdict": verdict,
        **more,
    }


@asynccontextmanager
async def visitor(running: Browser, place: Place, path: str = "/", **options: Any) -> AsyncGenerator[Page]:
    """Somebody who has just signed in, where the console may complain: of what is refused, as it should be."""
    context = await running.new_context(**options)
    context.set_default_timeout(GUARD_SECONDS * 1000)
    page = await context.new_page()
    await page.goto(await place.link(path))
    await page.wait_for_url(place.address + path)
    try:
        yield page
    finally:
        await context.close()


async def hear_nothing(page: Page) -> None:
    """From the next page on, nobody tells it that it is out of date."""
    for news in ("live", "changes?*"):
        await page.route(f"**/{news}", lambda route: route.abort())


async def page_of(http: httpx2.AsyncClient, session: dict[str, str], path: str) -> str:
    """A page as whoever is signed in gets it."""
    response = await http.get(path, headers={"cookie": session["cookie"]})
    assert response.status_code == 200, response.text
    return response.text


async def sealed_on(http: httpx2.AsyncClient, session: dict[str, str], approval: Approval, tail: str = "") -> str:
    """The seal that the page of an approval carries."""
    text = await page_of(http, session, f"/approvals/{approval.id}{tail}")
    return text.split('name="shown" value="')[1].split('"')[0]


async def edited(place: Place, approval: Approval, **changes: Any) -> Approval:
    """It as somebody else edits it."""
    return await place.desk.approvals.edit(
        ANA, Shown.of(approval), approval.payload | changes, assurance=Assurance.LOCAL, comment=None
    )


def without(headers: dict[str, str], *names: str, **others: str) -> dict[str, str]:
    """The headers but for some, and with others."""
    return {name: value for name, value in headers.items() if name not in names} | others
