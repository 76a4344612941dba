"""`doctor` on a PostgreSQL server: what it finds there, on servers that are set up well and badly."""

import json
from collections.abc import Generator
from pathlib import Path

import postgres
import pytest
from terminal import run

from mcp_hitl.doctor.findings.servers import server_findings
from mcp_hitl.store.postgres.migrating import prepare
from mcp_hitl.store.server_state import ServerState

WELL = ServerState(
    version="15.3", encoding="UTF8", unsafe_settings=(), standby=False, role="desk", owns_log=False, in_clear=False
)


def found(url: str) -> dict[str, str]:
    """The codes that `doctor` finds about the server, with what they say."""
    said = json.loads(run(None, "--db", url, "doctor", "--json").stdout)
    return {one["code"]: one["what"] for one in said["findings"] if one["code"].startswith(("server", "role"))}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database on a server that does not wait for its disk, as the tests have it."""
    return postgres.database_of(tmp_path)


def test_a_server_that_may_forget_what_it_commits_is_unsafe(url: str) -> None:
    said = found(url)
    assert said.keys() == {"server", "server-not-durable", "role-owns-log"}
    assert said["server-not-durable"] == "The server runs with fsync = off."
    name = url.split("/")[3].split("?")[0]
    postgres.run(url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert found(url)["server-not-durable"] == "The server runs with fsync = off and synchronous_commit = off."


@pytest.fixture
def safe() -> Generator[postgres.Server]:
    """A server as Debian sets it up."""
    server = postgres.Server()
    yield server
    server.remove()


def test_a_role_that_does_not_own_the_log_on_a_safe_server_is_fine(safe: postgres.Server) -> None:
    url = safe.create("desk")
    prepare(url)
    postgres.run(url, "CREATE ROLE desk LOGIN", "GRANT USAGE ON SCHEMA mcp_hitl TO desk")
    postgres.run(url, "GRANT SELECT ON ALL TABLES IN SCHEMA mcp_hitl TO desk")
    assert found(safe.url("desk", user="desk")).keys() == {"server"}


def test_each_fault_of_a_server_has_its_finding() -> None:
    bad = ServerState(
        version="15",
        encoding="LATIN1",
        unsafe_settings=("fsync",),
        standby=True,
        role="a",
        owns_log=True,
        in_clear=True,
    )
    codes = [one.code for one in server_findings(bad)]
    assert codes == [
        "server",
        "server-not-durable",
        "server-in-clear",
        "server-standby",
        "server-encoding",
        "role-owns-log",
    ]
    assert [one.code for one in server_findings(WELL)] == ["server"]
