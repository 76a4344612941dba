"""The MCP Inspector's command line, with the very commands that docs/how-to/connect-a-client.md prints."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from node import TYPESCRIPT, require_node
from wires import http_server, unmeasured

require_node()

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "connect-a-client.md"
PRINTED_URL = "http://localhost:8765/mcp"
INSPECTOR = "npx @modelcontextprotocol/inspector --cli "
COMMANDS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(INSPECTOR)]


def inspect(command: str, home: Path) -> Any:
    """Run a printed command as a user would, with `mcp-hitl` on the PATH and the installed Inspector; its JSON."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=TYPESCRIPT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=unmeasured(PATH=path, HOME=str(home), npm_config_offline="true", npm_config_update_notifier="false"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(commands: list[str], home: Path) -> None:
    """What the three commands of a transport must give."""
    listing, submitting, pending = commands
    tools = {tool["name"]: tool for tool in inspect(listing, home)["tools"]}
    assert {"increase-counter", "submit-expense", "list-pending", "wait-for-approval"} <= set(tools)
    assert all(tool["outputSchema"]["type"] == "object" for tool in tools.values())
    expense = inspect(submitting, home)["structuredContent"]
    assert expense["status"] == "pending" and expense["payload"]["amount"] == 50
    page = inspect(pending, home)["structuredContent"]
    assert [approval["id"] for approval in page["approvals"]] == [expense["id"]]


def test_the_inspector_lists_and_calls_the_tools_over_stdio(tmp_path: Path) -> None:
    commands = [command for command in COMMANDS if command.startswith(INSPECTOR + "mcp-hitl ")]
    check(commands, tmp_path)


def test_the_inspector_lists_and_calls_the_tools_over_http(tmp_path: Path) -> None:
    commands = [command for command in COMMANDS if PRINTED_URL in command]
    with http_server(tmp_path / "hitl.db") as (url, _):
        check([command.replace(PRINTED_URL, url) for command in commands], tmp_path)


def test_the_command_that_serve_prints_works(tmp_path: Path) -> None:
    with http_server(tmp_path / "hitl.db") as (_, process):
        assert process.stderr is not None
        command = next(line for line in process.stderr if INSPECTOR in line).partition("Inspector")[2].strip()
        assert inspect(command, tmp_path)["tools"]
