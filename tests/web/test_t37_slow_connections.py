"""Connections that hold a place without asking anything are ended; those that wait for an answer are not."""

import select
import socket

import anyio
import anyio.to_thread
import pytest
from anyio.abc import SocketStream
from starlette.types import Receive, Scope, Send
from web.rig import GUARD_SECONDS
from web.test_listening import MORE_THAN_FITS, listening

from mcp_hitl.protocols.http.connections import Connection

pytestmark = pytest.mark.anyio
_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"


class Waiting:
    """An application that reads a request, begins its answer, and ends it when it is told to."""

    def __init__(self) -> None:
        self.answer, self.left = anyio.Event(), anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        async with anyio.create_task_group() as tasks:

            async def look() -> None:
                assert (await receive())["type"] == "http.disconnect"
                self.left.set()
                tasks.cancel_scope.cancel()

            tasks.start_soon(look)
            await self.answer.wait()
            tasks.cancel_scope.cancel()
        if not self.left.is_set():
            await send({"type": "http.response.body", "body": b"ended"})


async def ended(client: SocketStream) -> None:
    """Wait until the other end has closed the connection."""
    try:
        while True:
            await client.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


async def until(client: SocketStream, text: bytes) -> bytes:
    """What comes, up to `text`."""
    held = b""
    while text not in held:
        held += await client.receive()
    return held


@pytest.mark.parametrize("start", [b"", b"GET / HT", _GET[:-2], _POST, _POST + b"x" * 10])
async def test_t37_a_connection_whose_request_does_not_arrive_is_ended(
    start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "seconds", 0.2)
    async with listening(Waiting()) as (listener, address, _), await anyio.connect_tcp(*address) as client:
        if start:
            await client.send(start)
        await ended(client)
        listener.stop()


async def test_t37_a_request_that_drips_in_is_ended_while_those_that_wait_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Connection, "seconds", 0.3)
    app = Waiting()
    async with listening(app) as (listener, address, _), await anyio.connect_tcp(*address) as waiting:
        await waiting.send(_GET)
        await until(waiting, b"begun")
        async with await anyio.connect_tcp(*address) as slow:
            await slow.send(_POST)
            over = False
            while not over:
                try:
                    await slow.send(b"x")
                    with anyio.move_on_after(0.02):
                        await slow.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    over = True
        app.answer.set()
        assert b"ended" in await until(waiting, b"ended")
        # A further request on the same connection is served like the first.
        await waiting.send(_GET[:20])
        await waiting.send(_GET[20:])
        assert b"ended" in await until(waiting, b"ended")
        listener.stop()


async def test_t37_there_are_so_many_connections_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "most", 3)
    app = Waiting()
    async with listening(app) as (listener, address, _):
        held: list[SocketStream] = []
        for _ in range(3):
            held.append(await anyio.connect_tcp(*address))
            await held[-1].send(_GET)
            await until(held[-1], b"begun")
        async with await anyio.connect_tcp(*address) as refused:
            assert b" 503 " in await until(refused, b"\r\n\r\n")
            await ended(refused)
        await held.pop().aclose()
        await app.left.wait()
        async with await anyio.connect_tcp(*address) as served:
            await served.send(_GET)
            assert b" 200 " in await until(served, b"begun")
            listener.stop()
        for client in held:
            await client.aclose()


@pytest.mark.parametrize("rest", [_POST, _POST + b"x" * 10])
async def test_t37_a_request_that_came_behind_another_one_and_does_not_arrive_is_ended(
    rest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "seconds", 0.2)
    app = Waiting()
    app.answer.set()
    async with listening(app) as (listener, address, _), await anyio.connect_tcp(*address) as client:
        await client.send(_GET + rest)  # both at once: no more comes in when the second has its turn
        assert b"ended" in await until(client, b"ended")
        await ended(client)
        listener.stop()


class Pouring:
    """An application whose answer is more than a machine keeps for a client that does not read."""

    def __init__(self, parts: int) -> None:
        """The answer comes in so many parts."""
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in reversed(range(self._parts)):
            part = bytes(MORE_THAN_FITS // self._parts)
            await send({"type": "http.response.body", "body": part, "more_body": bool(more)})


async def hung_up(client: socket.socket) -> None:
    """Wait until the other end has given the connection up, without reading what it has sent."""
    watched = select.poll()
    watched.register(client, 0)
    assert await anyio.to_thread.run_sync(watched.poll, GUARD_SECONDS * 1000), "it is still held"


@pytest.mark.skipif(not hasattr(select, "poll"), reason="this system tells nothing of a connection without reading")
@pytest.mark.parametrize("parts", [1, 1_000])
async def test_t37_a_client_that_does_not_take_its_answer_is_ended(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "seconds", 0.3)
    async with listening(Pouring(parts)) as (listener, address, _):
        with socket.create_connection(address, timeout=GUARD_SECONDS) as client:
            client.send(_GET)
            await hung_up(client)
        listener.stop()


async def test_t37_a_client_that_takes_its_answer_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "seconds", 1.0)
    async with listening(Pouring(1_000)) as (listener, address, _), await anyio.connect_tcp(*address) as client:
        await client.send(_GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        since, count = anyio.current_time(), 0
        while True:
            try:
                count += len(await client.receive())
            except anyio.EndOfStream:
                break
            if anyio.current_time() - since < 2 * Connection.seconds:
                with anyio.move_on_after(0.002):
                    await anyio.sleep_forever()
        assert count > MORE_THAN_FITS
        listener.stop()
