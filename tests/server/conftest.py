"""The rig, for every test of the server."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from server.pages import ADDRESS
from server.rig import Rig, a_rig, reached


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    """A server with the timing that people get."""
    async with a_rig(tmp_path / "hitl.db") as rig:
        yield rig


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncGenerator[Rig]:
    """A server that withdraws its forms at once."""
    async with a_rig(tmp_path / "hitl.db", form_seconds=0.05) as rig:
        yield rig


@pytest.fixture
async def target(rig: Rig, transport: str) -> AsyncGenerator[Any]:
    """What a client connects to, over the test's `transport`."""
    async with reached(rig, transport) as target:
        yield target


@pytest.fixture
async def carrying(tmp_path: Path) -> AsyncGenerator[Rig]:
    """A server that carries out what is approved."""
    async with a_rig(tmp_path / "hitl.db", flows=True) as rig:
        yield rig


@pytest.fixture
async def carrying_target(carrying: Rig, transport: str) -> AsyncGenerator[Any]:
    """What a client of it connects to, over the test's `transport`."""
    async with reached(carrying, transport) as target:
        yield target


@pytest.fixture
def paged(rig: Rig) -> Rig:
    """The rig, with an inbox."""
    rig.desk.inbox.address = ADDRESS
    return rig
