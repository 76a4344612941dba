"""Listening, and an end of it that leaves nothing to whoever listens next."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress

import anyio
import pytest
from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.responses import Response
from starlette.types import ASGIApp
from web.rig import GUARD_SECONDS

from mcp_hitl.protocols.http import sockets
from mcp_hitl.protocols.http.listener import Listener

pytestmark = pytest.mark.anyio

MORE_THAN_FITS = 50_000_000
"""Bytes, and a machine keeps only a few million of them for a client that does not read."""
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncGenerator[tuple[Listener, tuple[str, int], anyio.Event]]:
    """A listener, where it is, and whether it has ended; what is in the block has to stop it."""
    ready, over = anyio.Event(), anyio.Event()
    listener = Listener(app, "127.0.0.1", 0, ready=lambda _: ready.set())

    async def run() -> None:
        assert await listener.run()
        over.set()

    with anyio.fail_after(GUARD_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await ready.wait()
            yield listener, ("127.0.0.1", listener.address.port), over


async def rest(client: socket.socket) -> int:
    """How much of an answer comes before the connection ends."""
    count = 0
    with suppress(ConnectionResetError):
        while got := await anyio.to_thread.run_sync(client.recv, 1_000_000, abandon_on_cancel=True):
            count += len(got)
    return count


async def test_a_connection_that_is_accepted_at_the_very_stop_ends_with_its_listener(
    capfd: pytest.CaptureFixture[str],
) -> None:
    clients: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    async with listening(Response("served")) as (listener, address, over):

        def come() -> None:
            # One on every turn of the loop, whichever is the last; as a timer, since those come after what is accepted.
            with suppress(ConnectionRefusedError):
                clients.append(socket.create_connection(address, timeout=GUARD_SECONDS))
                loop.call_later(0, come)
            if len(clients) > 20:
                clients.pop(0).close()

        come()
        listener.stop()
        await over.wait()
        for client in clients:
            with closing(client), suppress(ConnectionError):
                client.send(_REQUEST)
                assert await rest(client) == 0
    assert capfd.readouterr().err == ""  # nothing had to be given up


async def test_a_client_that_does_not_read_is_left_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_hitl.protocols.http.listener._DRAIN_SECONDS", 0.01)
    async with listening(Response(bytes(MORE_THAN_FITS))) as (listener, address, over):
        with socket.create_connection(address, timeout=GUARD_SECONDS) as client:
            client.send(_REQUEST)
            await anyio.to_thread.run_sync(client.recv, 1)
            listener.stop()
            await over.wait()
            assert await rest(client) < MORE_THAN_FITS


async def test_what_ended_the_streams_of_a_listener_ends_none_of_the_next() -> None:
    async def forever() -> AsyncGenerator[dict[str, str]]:
        yield {"data": "open"}
        await anyio.sleep_forever()

    for _ in range(2):
        async with listening(EventSourceResponse(forever())) as (listener, address, _):
            with socket.create_connection(address, timeout=GUARD_SECONDS) as client:
                client.send(_REQUEST)
                heard = b""
                while b"data: open\r\n\r\n" not in heard:
                    got = await anyio.to_thread.run_sync(client.recv, 1_000)
                    assert got
                    heard += got
                listener.stop()
                assert await rest(client) == 0
        assert not AppStatus.should_exit


async def test_a_listener_whose_port_is_taken_ends_no_streams_of_the_next_one(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = Listener(Response(), "127.0.0.1", taken.getsockname()[1], ready=lambda _: None)
        assert not await listener.run()
    listener.stop()
    assert not AppStatus.should_exit


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_an_answer_does_not_wait_for_more_to_fill_its_packet(host: str) -> None:
    """With Nagle's delay on, each answer took 40 ms longer."""
    delays: list[int] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        delays.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    for one in sockets.listening(host, 0):
        async with await asyncio.start_server(note, sock=one):
            reader, writer = await asyncio.open_connection(*one.getsockname()[:2])
            assert await reader.read() == b""
            writer.close()
    assert delays and all(delays)
