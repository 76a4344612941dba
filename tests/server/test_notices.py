"""Change notifications: on every revision, for changes by any process, and only while somebody wants them."""

import socket
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.session import IncomingMessage
from mcp.server.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types import ResourceUpdatedNotification
from samples import START
from server.rig import GUARD_SECONDS, MODERN, OLDER, Rig, reached
from wires import PROTOCOLS, connect

from mcp_hitl.domain.evidence.chain import Entry
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.principal import LOOPBACK
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.protocols.http import sockets

pytestmark = pytest.mark.anyio

PENDING = "approvals://pending"


class Ear:
    """Hears the updates of an older client."""

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self.heard: list[str] = []
        self._news = anyio.Event()

    async def __call__(self, message: IncomingMessage) -> None:
        """The client's message handler."""
        if isinstance(message, ResourceUpdatedNotification):
            self.heard.append(str(message.params.uri))
            self._news.set()

    async def until(self, *uris: str) -> None:
        """Return once all of `uris` were heard, and forget them."""
        with anyio.fail_after(GUARD_SECONDS):
            while not set(uris) <= set(self.heard):
                self._news = anyio.Event()
                await self._news.wait()
        self.heard.clear()


async def subscribe(client: Client, uri: str, *, end: bool = False) -> None:
    """Subscribe in the way of the older revisions, or end that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)  # of the way that the older revisions have
        call = client.unsubscribe_resource if end else client.subscribe_resource  # pyright: ignore[reportDeprecated]
        await call(uri)


def _changes(rig: Rig, approval_id: str) -> list[Callable[[], Awaitable[Any]]]:
    """A change by this process, and one by another."""
    return [lambda: rig.opened(), lambda: rig.decide(approval_id)]


@pytest.mark.parametrize("transport", ["memory", "http"])
@pytest.mark.parametrize("protocol", OLDER)
async def test_a_subscription_of_the_older_revisions_tells_of_every_change(
    rig: Rig, target: Any, protocol: str, transport: str
) -> None:
    approval = await rig.opened()
    ear = Ear()
    uris = (PENDING, f"approvals://{approval.id}", f"audit://{approval.id}")
    async with connect(target, protocol, on_message=ear) as client:
        for uri in uris:
            await subscribe(client, uri)
        for change in _changes(rig, approval.id):
            await change()
            await ear.until(*uris)

        for uri in uris[:2]:
            await subscribe(client, uri, end=True)
        other = await rig.opened(payload={"other": 1})
        await rig.opened(payload={"other": 1})
        await rig.desk.approvals.cancel(LOOPBACK, other.id)
        await subscribe(client, f"audit://{other.id}")
        third = await rig.opened(payload={"other": 2})
        await subscribe(client, f"audit://{third.id}")
        await rig.opened(payload={"other": 2})
        await ear.until(f"audit://{third.id}")
        assert set(ear.heard) <= {f"audit://{third.id}"}
    await rig.nobody_listens()


@pytest.mark.parametrize("transport", ["memory", "http"])
async def test_a_listen_stream_of_the_newest_revision_tells_of_every_change(
    rig: Rig, target: Any, transport: str
) -> None:
    approval = await rig.opened()
    uris = [PENDING, f"approvals://{approval.id}"]
    async with connect(target, MODERN) as client:
        with anyio.fail_after(GUARD_SECONDS):
            async with client.listen(resource_subscriptions=uris) as stream:
                assert stream.honored.resource_subscriptions == uris
                for change in _changes(rig, approval.id):
                    await change()
                    seen = {await anext(stream), await anext(stream)}
                    assert seen == {ResourceUpdated(uri) for uri in uris}
        await rig.nobody_listens()


@pytest.mark.parametrize("protocol", [*OLDER, MODERN])
async def test_a_process_of_its_own_tells_of_what_others_change(rig: Rig, protocol: str) -> None:
    ear = Ear()
    async with connect(rig.database, protocol, on_message=ear) as client:
        if protocol == MODERN:
            with anyio.fail_after(GUARD_SECONDS):
                async with client.listen(resource_subscriptions=[PENDING]) as stream:
                    await client.call_tool("submit-expense", {"amount": 1, "description": "own"})
                    assert await anext(stream) == ResourceUpdated(PENDING)
                    await rig.opened()
                    assert await anext(stream) == ResourceUpdated(PENDING)
        else:
            await subscribe(client, PENDING)
            await client.call_tool("submit-expense", {"amount": 1, "description": "own"})
            await ear.until(PENDING)
            await rig.opened()
            await ear.until(PENDING)


@pytest.mark.parametrize("protocol", OLDER)
async def test_what_is_no_resource_cannot_be_subscribed_to(rig: Rig, protocol: str) -> None:
    async with connect(rig.server.mcp, protocol) as client:
        for uri in ("file:///etc/passwd", "approvals://nobody", "audit://pending"):
            with pytest.raises(MCPError, match="No such resource"):
                await subscribe(client, uri)
        await subscribe(client, PENDING, end=True)
    assert rig.listening == 0


async def test_a_connection_has_a_limit_of_subscriptions(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_hitl.server.subscriptions.MOST_PER_CONNECTION", 2)
    async with connect(rig.server.mcp, OLDER[1]) as client:
        await subscribe(client, "approvals://apr_1")
        await subscribe(client, "approvals://apr_2")
        with pytest.raises(MCPError, match="Unsubscribe from some"):
            await subscribe(client, "approvals://apr_3")
        await subscribe(client, "approvals://apr_2", end=True)
        await subscribe(client, "approvals://apr_3")
    await rig.nobody_listens()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_subscription_is_confirmed_only_when_no_change_is_missed_any_more(rig: Rig, protocol: str) -> None:
    ear = Ear()
    reading, go_on = anyio.Event(), anyio.Event()
    read = rig.store.read

    async def slow(work: Any) -> Any:
        found = await read(work)
        reading.set()
        await go_on.wait()
        return found

    async with connect(rig.server.mcp, protocol, on_message=ear) as client:
        confirmed = anyio.Event()

        async def follow() -> None:
            if protocol == MODERN:
                async with client.listen(resource_subscriptions=[PENDING]) as stream:
                    confirmed.set()
                    assert await anext(stream) == ResourceUpdated(PENDING)
            else:
                await subscribe(client, PENDING)
                confirmed.set()
                await ear.until(PENDING)

        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:
                rig.store.read = slow
                tasks.start_soon(follow)
                await reading.wait()
                await anyio.wait_all_tasks_blocked()
                assert not confirmed.is_set()
                rig.store.read = read
                go_on.set()
                await confirmed.wait()
                await rig.opened()


async def test_a_database_that_cannot_be_read_for_a_while_ends_no_subscription(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_hitl.server.subscriptions._PAUSE_AFTER_FAILURE", 0.001)
    read, failures = rig.store.read, iter([1, 2])

    async def failing(work: Any) -> Any:
        if next(failures, None) is not None:
            raise Unavailable("The disk is away.")
        return await read(work)

    rig.store.read = failing
    async with connect(rig.server.mcp, MODERN) as client:
        with anyio.fail_after(GUARD_SECONDS):
            async with client.listen(resource_subscriptions=[PENDING]) as stream:
                await rig.opened()
                assert await anext(stream) == ResourceUpdated(PENDING)


async def test_t37_one_connection_that_reads_nothing_keeps_no_news_from_the_others(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = sockets._socket  # pyright: ignore[reportPrivateUsage]

    def small(number: str) -> socket.socket:
        one = usual(number)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return one

    monkeypatch.setattr(sockets, "_socket", small)
    ids = [f"apr_{number}" for number in range(300)]
    ear = Ear()
    async with reached(rig, "http") as url, httpx2.AsyncClient() as http:
        port = int(url.split(":")[-1].removesuffix("/mcp"))
        session = await _subscribed(http, url, [f"approvals://{one}" for one in ids])
        async with await anyio.connect_tcp("127.0.0.1", port) as silent:
            head = f"Host: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: {session}\r\n\r\n"
            await silent.send(f"GET /mcp HTTP/1.1\r\n{head}".encode())
            assert b" 200 " in await silent.receive()
            async with connect(url, OLDER[1], on_message=ear) as client:
                await subscribe(client, PENDING)
                for _ in range(8):
                    await rig.store.write(lambda tx: [tx.log.append(_an_entry(one)) for one in ids])
                    await ear.until(PENDING)


async def _subscribed(http: httpx2.AsyncClient, url: str, uris: list[str]) -> str:
    """The session of a client that has subscribed to these."""
    headers = {"accept": "application/json, text/event-stream"}
    about = {"protocolVersion": OLDER[1], "capabilities": {}, "clientInfo": {"name": "silent", "version": "1"}}
    sent = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": about}
    headers["mcp-session-id"] = (await http.post(url, json=sent, headers=headers)).headers["mcp-session-id"]
    await http.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
    for number, uri in enumerate(uris, 1):
        sent = {"jsonrpc": "2.0", "id": number, "method": "resources/subscribe", "params": {"uri": uri}}
        assert '"result"' in (await http.post(url, json=sent, headers=headers)).text
    return headers["mcp-session-id"]


def _an_entry(approval_id: str) -> Entry:
    return Entry(approval=approval_id, event=Event.ASKED_AGAIN, revision=1, actor="local", at=START)


async def test_one_connection_that_ends_leaves_the_others_their_news(rig: Rig) -> None:
    ear = Ear()
    async with reached(rig, "http") as url, connect(url, OLDER[1], on_message=ear) as stays:
        async with connect(url, OLDER[0]) as leaves, connect(url, MODERN) as listens:
            for client in (stays, leaves):
                await subscribe(client, PENDING)
            async with listens.listen(resource_subscriptions=[PENDING]) as stream:
                await rig.opened()
                await ear.until(PENDING)
                with anyio.fail_after(GUARD_SECONDS):
                    assert await anext(stream) == ResourceUpdated(PENDING)
        await rig.opened(payload={"more": 1})
        await ear.until(PENDING)
    await rig.nobody_listens()
