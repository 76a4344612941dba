"""What every test shares: one async backend, a database, and Hypothesis examples that are the same in every run."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from databases import SORTS, new_database
from hypothesis import settings

from mcp_hitl.config.location import Location

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run on both sorts of database what is marked so, and everything if `SOAK` is set, but what looks into a file."""
    if "sort" in metafunc.fixturenames and "file" not in metafunc.fixturenames:
        if os.environ.get("SOAK") or metafunc.definition.get_closest_marker("on_both"):
            metafunc.parametrize("sort", SORTS)


@pytest.fixture
def sort() -> str:
    """The sort of database."""
    return SORTS[0]


@pytest.fixture
def database(sort: str, tmp_path: Path) -> Generator[Location]:
    """Where the test's own new database is."""
    with new_database(sort, tmp_path) as location:
        yield location


@pytest.fixture
def file(database: Location) -> Path:
    """The file of the test's own database; a test that asks for it runs on SQLite alone."""
    assert database.file is not None
    return database.file


@pytest.fixture
def anyio_backend() -> str:
    """Asyncio, on which the program runs."""
    return "asyncio"


def pytest_xdist_auto_num_workers() -> int:
    """Return three for two cores: tests wait nearly half of their time, for a browser, a process or a timer."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out; a skipped test is a failure where everything is required."""
    left_out = terminalreporter.stats.get("skipped", [])
    if left_out and os.environ.get("REQUIRE_ALL"):
        terminalreporter.write_line(f"REQUIRE_ALL is set, and {len(left_out)} tests were left out.", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where everything is required and something was left out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("REQUIRE_ALL") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
