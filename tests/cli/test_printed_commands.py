"""Every command that is printed runs as printed in the reader's shell, wherever that shell is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from asked import AGENT, ask, look
from terminal import terminal
from wires import connect, environment, http_server, text

from mcp_hitl.cli.os_user import os_user
from mcp_hitl.domain.approvals.approval import Status

SCRIPT = Path(sys.executable).with_name("mcp-hitl")
LAUNCHERS = {
    "as a module": [sys.executable, "-m", "mcp_hitl"],
    "by its path": [str(SCRIPT)],
    "by its name": ["mcp-hitl"],
}
ON_PATH = {"PATH": f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path that a shell would take apart unless it is quoted."""
    return tmp_path / "it's $HOME & more" / "hitl.db"


def shell(command: str, cwd: Path, *, path: bool) -> "subprocess.CompletedProcess[str]":
    """Run a printed command in a shell that knows nothing of the program that printed it."""
    return subprocess.run(
        ["sh", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(**(ON_PATH if path else {})),
    )


@pytest.mark.parametrize("launched", LAUNCHERS)
def test_what_pending_prints_leads_to_show_and_that_to_a_decision(
    database: Path, tmp_path: Path, launched: str
) -> None:
    approval_id = ask(database)
    by_name = launched == "by its name"
    pending = subprocess.run(
        [*LAUNCHERS[launched], "pending"],
        capture_output=True,
        text=True,
        env=environment(MCP_HITL_DB=str(database), **(ON_PATH if by_name else {})),
    )
    look_at_one = pending.stdout.splitlines()[-1].partition("Look at one: ")[2]
    assert look_at_one.startswith("mcp-hitl ") == by_name
    with terminal(["sh", "-c", f"cd {tmp_path} && {look_at_one}"], variables=ON_PATH if by_name else None) as person:
        assert person.finish() == 0
    approve, reject = (line.strip() for line in person.shown.splitlines()[-2:])
    with terminal(["sh", "-c", reject], variables=ON_PATH) as person:
        person.answer("Reject this? [y/N]: ", "n")
        assert person.finish() == 1
    with terminal(["sh", "-c", approve], variables=ON_PATH) as person:
        person.answer("Approve this? [y/N]: ", "y")
        assert person.finish() == 0
    assert look(database, approval_id).status is Status.APPROVED


def test_the_command_for_more_pages_shows_the_next_page(database: Path, tmp_path: Path) -> None:
    first, second = ask(database, "action", {"n": 1}), ask(database, "action", {"n": 2})
    command = [sys.executable, "-m", "mcp_hitl", "--db", str(database), "pending", "--limit", "1"]
    page = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True).stdout
    assert first in page and second not in page
    more = page.splitlines()[-1].partition("More: ")[2]
    done = shell(more, tmp_path, path=False)
    assert done.returncode == 0 and second in done.stdout and first not in done.stdout


def test_what_a_tool_tells_an_agents_person_to_type_lists_what_waits_and_decides_nothing(
    database: Path, tmp_path: Path
) -> None:
    async def told() -> str:
        async with connect(database, "2026-07-28") as client:
            expense = {"amount": 50, "description": "Lunch"}
            return text(await client.call_tool("submit-expense", expense))  # names its id first

    database.parent.mkdir()
    said = anyio.run(told)
    [command] = re.findall(r"`(.*)`", said)
    done = shell(command, tmp_path, path=False)
    assert done.returncode == 0 and said.split()[0] in done.stdout
    assert re.search(r"\b(approve|reject) apr_", said) is None


def test_what_serve_prints_lists_what_waits(database: Path, tmp_path: Path) -> None:
    approval_id = ask(database, requester=AGENT)
    with http_server(database) as (url, process):
        assert url.startswith("http://localhost:") and process.stderr is not None
        command = next(line for line in process.stderr if "What is pending" in line).partition("pending  ")[2]
        done = shell(command, tmp_path, path=False)
    assert done.returncode == 0 and approval_id in done.stdout


def test_the_default_database_needs_no_option(tmp_path: Path) -> None:
    variables = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    done = subprocess.run([SCRIPT, "pending"], capture_output=True, text=True, env=environment(**variables), check=True)
    assert done.stdout == "Nothing is pending.\n"
    [database] = tmp_path.rglob("hitl.db")
    ask(database, requester=os_user())
    done = subprocess.run([SCRIPT, "pending"], capture_output=True, text=True, env=environment(**variables), check=True)
    assert "--db" not in done.stdout
