"""Listening, and being the one that does."""

import socket

import pytest
from sse_starlette.sse import AppStatus
from web.rig import Place

from mcp_hitl.web.app import Inbox
from mcp_hitl.web.listening import Listener

pytestmark = pytest.mark.anyio


async def test_a_listener_whose_port_is_taken_ends_no_streams_of_the_next_one(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        inbox = Inbox(place.desk, key=bytes(32), how="")
        listener = Listener(inbox.app, "127.0.0.1", taken.getsockname()[1], ready=lambda _: None)
        assert not await listener.run()
    listener.stop()
    assert not AppStatus.should_exit
