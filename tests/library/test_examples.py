"""The examples run as they say, each in a process of its own, with a person at a terminal."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from asked import wait_until_asked
from mcp import Client, StdioServerParameters
from terminal import at_terminal, terminal
from warm import warm
from wires import content, unmeasured

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples"
RELEASE = ("v2.0", "  Faster, and it survives restarts. ")


@contextmanager
def release(folder: Path) -> Generator["subprocess.Popen[str]"]:
    """Start the release script, or start it again; kill it after the block."""
    command = [sys.executable, str(EXAMPLES / "release_flow.py"), *RELEASE]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=unmeasured())
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def decide(database: Path, verdict: str, approval_id: str, *options: str) -> None:
    """A person decides at the terminal; `options` stand before the command."""
    arguments = ("--reason", "Not today.") if verdict == "reject" else ()
    with at_terminal(database, *options, verdict, approval_id, *arguments) as person:
        person.answer("[y/N]", "y")
        assert person.finish() == 0


def test_a_release_is_asked_twice_and_published_once_also_when_its_program_is_killed_between(tmp_path: Path) -> None:
    database = tmp_path / "releases.db"
    with release(tmp_path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "Waiting. In another terminal: mcp-hitl --db releases.db pending\n"
        decide(database, "approve", wait_until_asked(database, "Release v2.0"))
        go = wait_until_asked(database, "Release 2.0 now?")
    assert not (tmp_path / "site").exists()

    decide(database, "approve", go)
    with release(tmp_path) as second:
        told, _ = second.communicate(timeout=60)
        assert second.returncode == 0
    assert "succeeded {'path': 'site/2.0.md'}" in told.replace("\\\\", "/")
    assert (tmp_path / "site" / "2.0.md").read_text() == "# 2.0\n\nFaster, and it survives restarts.\n"


def test_a_release_that_is_not_let_go_is_not_published(tmp_path: Path) -> None:
    database = tmp_path / "releases.db"
    with release(tmp_path) as script:
        decide(database, "approve", wait_until_asked(database, "Release v2.0"))
        decide(database, "reject", wait_until_asked(database, "Release 2.0 now?"))
        told, _ = script.communicate(timeout=60)
        assert script.returncode == 1
    assert "failed" in told and "was rejected by" in told
    assert not (tmp_path / "site").exists()


@asynccontextmanager
async def server(folder: Path, **variables: str) -> AsyncGenerator[Client]:
    """A client of the example server, over stdio; leaving ends the server."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=[str(EXAMPLES / "gated_server.py")],
        env=unmeasured(REFUNDS_DB=str(folder / "refunds.db"), REFUNDS_FILE=str(folder / "refunds.txt"), **variables),
        cwd=str(folder),
    )
    async with Client(parameters) as client:
        yield client


async def test_a_gated_tool_over_stdio_runs_once_after_approval_also_when_its_server_was_restarted(
    tmp_path: Path,
) -> None:
    database, bank = tmp_path / "refunds.db", tmp_path / "refunds.txt"
    async with server(tmp_path) as client:
        asked = content(await client.call_tool("refund", {"order": 17, "amount": 40.5}))
        assert (asked["status"], asked["title"]) == ("pending", "Refund 40.5 for order 17")
    assert not bank.exists()
    await anyio.to_thread.run_sync(decide, database, "approve", asked["id"])
    assert not bank.exists()
    async with server(tmp_path) as client:
        done = content(await client.call_tool("wait-for-approval", {"id": asked["id"]}))
        assert (done["status"], done["outcome"]["state"]) == ("approved", "succeeded")
        assert done["outcome"]["result"] == {"value": "Refunded 40.5 for order 17."}
    async with server(tmp_path) as client:
        await client.call_tool("wait-for-approval", {"id": asked["id"]})
    assert bank.read_text() == "17 40.5\n"


async def test_a_gated_tool_that_is_rejected_never_runs(tmp_path: Path) -> None:
    async with server(tmp_path) as client:
        asked = content(await client.call_tool("refund", {"order": 17, "amount": 40.5}))
        await anyio.to_thread.run_sync(decide, tmp_path / "refunds.db", "reject", asked["id"])
        done = content(await client.call_tool("wait-for-approval", {"id": asked["id"]}))
        assert (done["status"], done["outcome"]["state"]) == ("rejected", "none")
    assert not (tmp_path / "refunds.txt").exists()


async def test_a_person_may_edit_what_a_gated_tool_will_do(tmp_path: Path) -> None:
    """At a terminal that knows the kind as the tool's server does: by a policy file that both have."""
    policy = tmp_path / "policy.toml"
    policy.write_text(
        """
        [kinds.refund]
        title = "Refund {amount} for order {order}"
        schema = { properties = { order = { type = "integer" }, amount = { type = "number" } }, required = ["order"] }
        """
    )
    async with server(tmp_path, MCP_HITL_CONFIG=str(policy)) as client:
        asked = content(await client.call_tool("refund", {"order": 17, "amount": 40.5}))

        def person() -> None:
            edit = warm("--db", str(tmp_path / "refunds.db"), "edit", asked["id"], "--set", "amount=4")
            with terminal(edit, variables={"MCP_HITL_CONFIG": str(policy)}) as editor:
                editor.answer("[y/N]", "y")
                assert editor.finish() == 0

        await anyio.to_thread.run_sync(person)
        # The policy file governs the database, and nobody gets past it by leaving it out.
        database = tmp_path / "refunds.db"
        await anyio.to_thread.run_sync(decide, database, "approve", asked["id"], "--config", str(policy))
        done = content(await client.call_tool("wait-for-approval", {"id": asked["id"]}))
        assert (done["revision"], done["outcome"]["state"]) == (2, "succeeded")
    assert (tmp_path / "refunds.txt").read_text() == "17 4.0\n"


def test_no_example_leaves_anything_in_the_clone() -> None:
    assert not [name for name in os.listdir(EXAMPLES) if name.endswith((".db", ".txt"))]
