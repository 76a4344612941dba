"""What every test shares: one async backend, and Hypothesis examples that are the same in every run."""

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture
def anyio_backend() -> str:
    """Asyncio, on which the program runs."""
    return "asyncio"
