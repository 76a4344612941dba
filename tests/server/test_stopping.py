"""A clean stop: on SIGTERM and at the end of input, those who wait are answered and the process ends within seconds."""

import json
import os
import select
import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitResult
from server.rig import GUARD_SECONDS, MODERN, OLDER, PATIENCE, Pipes, Rig, eventually, pipes
from wires import PROTOCOLS, Person, connect, content, environment, http_server, launcher, promptly

pytestmark = pytest.mark.anyio

WAIT = {"timeout_seconds": 300}
_BREATH = 1.0
"""Seconds in which a server that takes requests takes one."""


async def _ended(client: Pipes, since: float) -> None:
    """The process ends by itself, in time, with success, and without another word on stdout that is no message."""
    with anyio.fail_after(PATIENCE):
        assert await client.process.wait() == 0
    assert time.monotonic() - since < promptly(client.starting)


async def _stop(client: Pipes, how: str) -> float:
    since = time.monotonic()
    if how == "SIGTERM":
        client.process.send_signal(signal.SIGTERM)
    elif how == "SIGINT":
        client.process.send_signal(signal.SIGINT)
    else:
        assert client.process.stdin is not None
        await client.process.stdin.aclose()
    return since


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "end of input"])
async def test_stdio_answers_the_wait_withdraws_the_form_and_ends(rig: Rig, how: str) -> None:
    approval = await rig.opened()
    async with pipes(rig.database) as client:
        await client.shake_hands(elicitation={})
        wait = await client.request("tools/call", name="wait-for-approval", arguments={"id": approval.id, **WAIT})
        ask = await client.request("tools/call", name="ask-human", arguments={"question": "When?"})
        form = await client.read_until(lambda message: message.get("method") == "elicitation/create")
        since = await _stop(client, how)
        for number in (wait, ask):
            if not any(message.get("id") == number and "result" in message for message in client.seen):
                await client.result(number)
        await _ended(client, since)
    results = {message["id"]: message["result"] for message in client.seen if "result" in message}
    answers = {number: results[number]["structuredContent"]["status"] for number in (wait, ask)}
    assert answers == {wait: "pending", ask: "pending"}
    [withdrawal] = [m for m in client.seen if m.get("method") == "notifications/cancelled"]
    assert withdrawal["params"]["requestId"] == form["id"]


@pytest.mark.parametrize("how", ["SIGTERM", "end of input"])
async def test_stdio_ends_when_nothing_is_going_on(rig: Rig, how: str) -> None:
    async with pipes(rig.database) as client:
        await client.shake_hands()
        await _ended(client, await _stop(client, how))


async def test_stdio_ends_where_the_client_never_said_anything(rig: Rig) -> None:
    async with pipes(rig.database) as client:
        await _stop(client, "end of input")
        with anyio.fail_after(GUARD_SECONDS):
            assert await client.process.wait() == 0


async def test_stdio_answers_any_number_of_waits_before_it_ends(rig: Rig) -> None:
    approval = await rig.opened()
    async with pipes(rig.database) as client:
        await client.shake_hands()
        arguments = {"id": approval.id, **WAIT}
        waits = {await client.request("tools/call", name="wait-for-approval", arguments=arguments) for _ in range(200)}
        await client.call("get-approval", id=approval.id)
        since = await _stop(client, "SIGTERM")
        while waits - {message.get("id") for message in client.seen}:
            assert (await client.read())["result"]["structuredContent"]["status"] == "pending"
        await _ended(client, since)


async def test_stdio_ends_an_open_listen_stream_with_its_result(rig: Rig) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "by hand", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    async with pipes(rig.database) as client:
        listen = await client.request(
            "subscriptions/listen", notifications={"resourceSubscriptions": ["approvals://pending"]}, _meta=meta
        )
        await client.read_until(lambda message: message.get("method") == "notifications/subscriptions/acknowledged")
        since = await _stop(client, "SIGTERM")
        assert "result" in await client.result(listen)
        await _ended(client, since)


class Served:
    """A server over HTTP."""

    def __init__(self, url: str, process: "subprocess.Popen[str]", starting: float) -> None:
        """`process` at `url`, which took that many seconds to start."""
        self.url = url
        self._process = process
        self._starting = starting
        self._since = 0.0

    def stop(self) -> None:
        """Tell it to end."""
        self._since = time.monotonic()
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> None:
        """It ends by itself, in time and with success."""
        with anyio.fail_after(PATIENCE):
            assert await anyio.to_thread.run_sync(self._process.wait) == 0
        assert time.monotonic() - self._since < promptly(self._starting)


@asynccontextmanager
async def _http(database: Path) -> AsyncGenerator[Served]:
    since = time.monotonic()
    with http_server(database, variables=environment(), start=launcher) as (url, process):
        yield Served(url, process, time.monotonic() - since)


@pytest.mark.parametrize("how", ["SIGTERM", "end of input"])
async def test_stdio_ends_while_another_process_holds_the_lock_that_a_call_waits_for(rig: Rig, how: str) -> None:
    async with pipes(rig.database) as client:
        await client.shake_hands()
        await client.call("list-pending")
        with closing(sqlite3.connect(rig.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            arguments: dict[str, Any] = {"title": "Deploy", "details": {}}
            asked = await client.request("tools/call", name="request-approval", arguments=arguments)
            await client.call("list-pending")
            since = await _stop(client, how)
            refused = (await client.result(asked))["result"]
            await _ended(client, since)
            other.execute("ROLLBACK")
    assert refused["structuredContent"]["code"] == "unavailable"
    assert rig.rows()["approvals"] == 0


@pytest.mark.parametrize("how", ["SIGTERM", "end of input"])
async def test_stdio_leaves_a_client_that_does_not_read(rig: Rig, how: str) -> None:
    for number in range(5):
        await rig.opened("action", {"filler": str(number) + "x" * 50_000})
    async with pipes(rig.database) as client:
        await client.shake_hands()
        for _ in range(10):
            await client.request("tools/call", name="list-pending", arguments={})
        arguments: dict[str, Any] = {"title": "Deploy", "details": {}}
        await client.request("tools/call", name="request-approval", arguments=arguments)
        await eventually(lambda: rig.rows()["approvals"] == 6)
        await _ended(client, await _stop(client, how))
    assert rig.rows()["approvals"] == 6


@pytest.mark.parametrize("how", ["ping", "tools/call"])
def test_stdio_ends_quietly_when_the_client_has_closed_its_end_of_the_output(tmp_path: Path, how: str) -> None:
    asked: dict[str, Any] = {"method": how}
    if how == "tools/call":
        asked["params"] = {"name": "list-pending", "arguments": {}}
    hello = {"protocolVersion": OLDER[0], "capabilities": {}, "clientInfo": {"name": "leaver", "version": "1"}}
    with subprocess.Popen(
        launcher("--db", str(tmp_path / "hitl.db")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as server:
        assert server.stdin is not None and server.stdout is not None and server.stderr is not None
        server.stdin.write(_line(id=1, method="initialize", params=hello))
        server.stdin.write(_line(method="notifications/initialized"))
        server.stdin.flush()
        server.stdout.readline()
        server.stdout.close()
        server.stdin.write(_line(id=2, **asked))
        server.stdin.flush()
        try:
            code = server.wait(PATIENCE)
        finally:
            server.kill()
        assert (code, server.stderr.read().decode()) == (0, "")


def test_t37_stdio_takes_no_more_from_a_client_that_does_not_read(tmp_path: Path) -> None:
    most = 10_000
    hello = {"protocolVersion": OLDER[0], "capabilities": {}, "clientInfo": {"name": "deaf", "version": "1"}}
    command = launcher("--db", str(tmp_path / "hitl.db"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            server.stdin.write(_line(id="hello", method="initialize", params=hello))
            server.stdin.write(_line(method="notifications/initialized"))
            server.stdin.flush()
            assert json.loads(server.stdout.readline())["id"] == "hello"
            sent = 0
            while select.select([], [server.stdin], [], 2 * _BREATH)[1]:
                assert sent < most, "it takes whatever comes"
                os.write(server.stdin.fileno(), _line(id=sent, method="ping", params={"_meta": {"filler": "x" * 900}}))
                sent += 1
            answered = {json.loads(server.stdout.readline())["id"] for _ in range(sent)}
            assert answered == set(range(sent))
            server.stdin.close()
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()


def _line(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n"


async def test_http_ends_while_another_process_holds_the_lock_that_a_call_waits_for(rig: Rig) -> None:
    async with _http(rig.database) as served, connect(served.url, MODERN) as client:
        await client.list_tools()
        with closing(sqlite3.connect(rig.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_ask_in_vain, client)
                await client.call_tool("list-pending", {})
                served.stop()
                await served.ended()
            other.execute("ROLLBACK")
    assert rig.rows()["approvals"] == 0


async def _ask_in_vain(client: Client) -> None:
    with suppress(MCPError):  # or the answer is that it is unavailable
        assert (await client.call_tool("request-approval", {"title": "Deploy", "details": {}})).is_error


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_http_answers_the_wait_and_ends(rig: Rig, protocol: str) -> None:
    approval = await rig.opened()
    results: list[CallToolResult] = []
    async with _http(rig.database) as served, connect(served.url, protocol) as client:

        async def wait() -> None:
            results.append(await client.call_tool("wait-for-approval", {"id": approval.id, **WAIT}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await client.call_tool("get-approval", {"id": approval.id})
            served.stop()
            await served.ended()
    assert content(results[0])["status"] == "pending"


@pytest.mark.parametrize("protocol", OLDER)
async def test_http_withdraws_the_open_form_and_ends(rig: Rig, protocol: str) -> None:
    shown, withdrawn = anyio.Event(), anyio.Event()
    results: list[CallToolResult] = []

    async def never(_: ElicitRequestFormParams) -> ElicitResult:
        shown.set()
        try:
            await anyio.sleep_forever()
        finally:
            withdrawn.set()
        raise AssertionError

    async with _http(rig.database) as served, connect(served.url, protocol, person=Person(never)) as client:

        async def ask() -> None:
            results.append(await client.call_tool("ask-human", {"question": "When?"}))

        await client.list_tools()  # or the client would list them to check the result, when nobody serves any more
        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await shown.wait()
                served.stop()
                await withdrawn.wait()
                await served.ended()
    assert content(results[0])["status"] == "pending"


async def test_http_ends_an_open_listen_stream_with_its_result_and_ends(rig: Rig) -> None:
    async with _http(rig.database) as served, connect(served.url, MODERN) as client:
        with anyio.fail_after(GUARD_SECONDS):
            async with client.listen(resource_subscriptions=["approvals://pending"]) as stream:
                served.stop()
                # A stream that broke off instead would raise SubscriptionLost.
                assert [event async for event in stream] == []
                await served.ended()


async def test_http_ends_with_idle_clients_connected(rig: Rig) -> None:
    async with _http(rig.database) as served, connect(served.url, OLDER[0]) as old, connect(served.url, MODERN) as new:
        clients: list[Client] = [old, new]
        for client in clients:
            await client.list_tools()
        served.stop()
        await served.ended()


def test_an_address_that_is_taken_ends_with_wrong_use(tmp_path: Path) -> None:
    with http_server(tmp_path / "hitl.db") as (url, _):
        port = url.split(":")[-1].removesuffix("/mcp")
        second: Any = subprocess.run(
            launcher("--db", str(tmp_path / "other.db"), "serve", "--port", port),
            capture_output=True,
            text=True,
            env=environment(),
            timeout=GUARD_SECONDS,
        )
    assert second.returncode == 2
    assert "Traceback" not in second.stderr
