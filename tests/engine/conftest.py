"""A place where a flow runs."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from engine.rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    """A database, a clock, and processes that come and go; the evidence must hold in the end."""
    rig = Rig(tmp_path)
    yield rig
    await rig.verify()
    await rig.store.close()
