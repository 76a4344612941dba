"""What every test shares: one async backend, and Hypothesis examples that are the same in every run."""

import os

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


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
