"""A place where a flow runs, and a desk for the workers that need no flow."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from desk.conftest import clock, desk, elsewhere, store, under
from engine.rig import Rig

__all__ = ["clock", "desk", "elsewhere", "rig", "store", "under"]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    """A database, a clock, and processes that come and go; the evidence must hold in the end."""
    rig = Rig(tmp_path)
    yield rig
    await rig.verify()
    await rig.store.close()
