"""One browser for all files of tests, and an inbox for each test."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser
from web.attack import Hostile, hostile_server, program
from web.rig import Place, browser, serving


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asyncio, with one event loop for all files of tests, since they share a browser."""
    return "asyncio"


@pytest.fixture(scope="session")
async def chromium(anyio_backend: str) -> AsyncGenerator[Browser]:
    """A real browser."""
    async with browser() as running:
        yield running


@pytest.fixture
async def place(tmp_path: Path) -> AsyncGenerator[Place]:
    """An inbox on an empty database."""
    async with serving(tmp_path / "hitl.db") as place:
        yield place


@pytest.fixture
async def hostile() -> AsyncGenerator[Hostile]:
    """A server of somebody else on another port of this machine."""
    async with hostile_server() as running:
        yield running


@pytest.fixture
async def http(place: Place) -> AsyncGenerator[httpx2.AsyncClient]:
    """A program that speaks HTTP to the inbox, and can say whatever it wants."""
    async with program(place) as client:
        yield client
