"""A line without an end on stdin takes no memory, and the next one is read."""

import os
import threading
import tracemalloc

import pytest

from mcp_hitl.protocols.mcp.shutdown import Unanswered
from mcp_hitl.protocols.mcp.stdio import MOST_BYTES, _Lines  # pyright: ignore[reportPrivateUsage]

pytestmark = pytest.mark.anyio


async def nothing() -> None:
    """There is nothing to finish."""


async def test_t37_a_line_without_an_end_takes_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()

    def write() -> None:
        for _ in range(12):
            os.write(writing, b"x" * MOST_BYTES)
        os.write(writing, b"x\nnext\n" + b"y" * MOST_BYTES + b"\n")
        os.close(writing)

    tracemalloc.start()
    threading.Thread(target=write, daemon=True).start()
    try:
        lines = [line async for line in _Lines(reading, Unanswered(), nothing)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        os.close(reading)
    assert [line[:4] for line in lines] == ["next", "yyyy"]
    assert peak < 8 * MOST_BYTES
    assert [record.getMessage() for record in caplog.records] == [
        f"a message of the client was not read: it has more than {MOST_BYTES} bytes"
    ]
