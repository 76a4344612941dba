"""A place where a flow runs, and a desk for the workers that need no flow."""

from collections.abc import AsyncGenerator

import pytest
from desk.conftest import clock, desk, elsewhere, store, under
from engine.rig import Rig

from mcp_hitl.config.location import Location
from mcp_hitl.store.opening import open_store

__all__ = ["clock", "desk", "elsewhere", "rig", "store", "under"]


@pytest.fixture
async def rig(database: Location) -> AsyncGenerator[Rig]:
    """A database, a clock, and processes that come and go; the evidence must hold in the end."""
    rig = Rig(open_store(database))
    yield rig
    await rig.verify()
    await rig.store.close()
