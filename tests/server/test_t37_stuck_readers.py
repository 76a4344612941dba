"""T37: a client of `/mcp` that does not read what it is sent is ended, and no other client waits for it."""

import json
import select
import socket
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2
import pytest
from server.rig import GUARD_SECONDS, OLDER, Rig, modern_request, reached
from server.test_notices import PENDING, Ear, subscribe
from wires import connect

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.protocols.http import sockets
from mcp_hitl.protocols.http.connections import Connection

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not hasattr(select, "poll"), reason="this system tells nothing of a connection without reading"),
]

SMALL = 4_096
"""Bytes that the system keeps for a connection, or else a test would have to send megabytes."""


@pytest.fixture
def hasty_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients have little time, and the system keeps little for them."""
    make = sockets._socket  # pyright: ignore[reportPrivateUsage]

    def small(number: str) -> socket.socket:
        one = make(number)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        return one

    monkeypatch.setattr(sockets, "_socket", small)
    monkeypatch.setattr(Connection, "seconds", 0.5)


@contextmanager
def stuck(url: str, method: str, headers: dict[str, str], body: str = "", times: int = 1) -> Generator[socket.socket]:
    """A client that asks, as often as it is told to at once, and reads nothing."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    lines = [f"{method} /mcp HTTP/1.1", f"host: {host}:{port}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        client.connect(("127.0.0.1", port))
        client.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode() * times)
        yield client


async def hung_up(client: socket.socket) -> None:
    """Wait until the server has given the connection up."""
    watched = select.poll()
    watched.register(client, 0)
    assert await anyio.to_thread.run_sync(watched.poll, GUARD_SECONDS * 1000), "it is still held"


async def subscribed(url: str, uri: str) -> dict[str, str]:
    """Subscribe in the way of the older revisions, by hand; returns the headers of the session."""
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": OLDER[-1]}
    about: JsonObject = {"capabilities": {}, "clientInfo": {"name": "stuck", "version": "1"}}
    async with httpx2.AsyncClient(timeout=GUARD_SECONDS) as http:

        async def say(method: str, params: JsonObject, **more: int) -> httpx2.Response:
            message = {"jsonrpc": "2.0", "method": method, "params": params} | more
            response = await http.post(url, json=message, headers=headers)
            assert response.is_success, response.text
            return response

        opened = await say("initialize", about | {"protocolVersion": OLDER[-1]}, id=1)
        headers["mcp-session-id"] = opened.headers["mcp-session-id"]
        await say("notifications/initialized", {})
        await say("resources/subscribe", {"uri": uri}, id=2)
    return headers


async def test_t37_nobody_waits_for_news_because_another_client_does_not_read_its_own(
    rig: Rig, hasty_connections: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "seconds", 10 * GUARD_SECONDS)  # nobody ends the other one
    ear = Ear()
    async with reached(rig, "http") as url, connect(url, OLDER[-1], on_message=ear) as client:
        await subscribe(client, PENDING)
        with stuck(url, "GET", await subscribed(url, PENDING)) as other:
            while select.select([other], [], [], 0)[0] == []:  # its stream is there
                await anyio.lowlevel.checkpoint()
            for number in range(150):
                await rig.opened(payload={"n": number})
                await ear.until(PENDING)


async def test_t37_a_client_that_asks_for_much_and_reads_nothing_is_ended(rig: Rig, hasty_connections: None) -> None:
    approval = await rig.opened(payload={"text": "x" * 50_000})
    name = "get-approval"
    body, headers = modern_request("tools/call", {"name": name, "arguments": {"id": approval.id}}, name)
    async with reached(rig, "http") as url:
        with stuck(url, "POST", headers, json.dumps(body), times=20) as client:
            await hung_up(client)
