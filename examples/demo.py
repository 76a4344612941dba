"""An agent asks, a person decides, the result comes back: `make demo`.

The agent is a real MCP client on a real server over stdio; the person is you, at this terminal or in the inbox. With
DEMO_AUTO=1 a pseudo-terminal stands in for you and answers yes.
"""

import io
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult

EXPENSE = {"amount": 129.9, "currency": "EUR", "description": "Train to the customer in Lyon", "category": "travel"}


def say(who: str, text: str) -> None:
    """Print what somebody says, in a column of their own."""
    first, *rest = text.splitlines()
    print(f"{who:>7} │ {first}", *(f"        │ {line}" for line in rest), sep="\n", flush=True)


def without_settings() -> dict[str, str]:
    """This environment without settings for mcp-hitl: the demo has a database of its own, and no policy."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MCP_HITL_")}


async def main() -> int:
    """Play the three parts; 0 where the expense was approved."""
    cast("io.TextIOWrapper", sys.stdout).reconfigure(errors="replace")
    automatic = bool(os.environ.get("DEMO_AUTO"))
    if not automatic and not sys.stdin.isatty():
        print("This demo asks you at the terminal. Run it in one, or with DEMO_AUTO=1.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="mcp-hitl-demo-") as folder:
        program = [sys.executable, "-m", "mcp_hitl", "--db", str(Path(folder) / "hitl.db")]
        server = StdioServerParameters(command=program[0], args=program[1:], env=without_settings())
        async with Client(server) as agent:
            return await play(agent, program, automatic)


async def play(agent: Client, program: list[str], automatic: bool) -> int:
    """Ask, wait, and let the person decide meanwhile."""
    say("agent", f"submit-expense {EXPENSE}")
    asked = await agent.call_tool("submit-expense", EXPENSE)
    say("server", text_of(asked).splitlines()[0])
    approval_id = id_of(asked)
    decided: list[CallToolResult] = []

    async def wait() -> None:
        decided.append(await agent.call_tool("wait-for-approval", {"id": approval_id, "timeout_seconds": 300}))

    say("agent", f"wait-for-approval {approval_id}")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        command = [*program, "approve", approval_id, "--comment", "Have a good trip."]
        if not automatic and await anyio.to_thread.run_sync(wants_the_inbox):
            command = [*program, "inbox", approval_id]
        say("you", shlex.join(command))
        print(flush=True)
        answered = await anyio.to_thread.run_sync(decide_for_you if automatic else decide, command)
        if answered != 0:
            tasks.cancel_scope.cancel()
    if not decided:
        say("agent", "Nobody approved, so nothing happens. The request goes away with this demo's database.")
        return 1
    print()
    say("server", text_of(decided[0]))
    return 0


def wants_the_inbox() -> bool:
    """Ask the person where they want to decide."""
    return (
        input("    you │ Decide in this terminal (Enter), or in the inbox in your browser (i)? ").strip().lower() == "i"
    )


def decide(command: list[str]) -> int:
    """Let the person at this terminal decide."""
    return subprocess.run(command, check=False, env=without_settings()).returncode


def decide_for_you(command: list[str]) -> int:
    """Answer yes on a pseudo-terminal, and show what it shows."""
    import pty

    master, terminal = pty.openpty()
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=without_settings())
    os.close(terminal)
    shown = b""
    while not shown.endswith(b"[y/N]: "):
        shown += os.read(master, 1024)
    os.write(master, b"y\n")
    try:
        while piece := os.read(master, 1024):
            shown += piece
    except OSError:
        pass  # how Linux tells that the program has closed its end
    print(shown.decode(errors="replace").replace("\r\n", "\n"), end="", flush=True)
    code = process.wait()
    os.close(master)
    return code


def text_of(result: CallToolResult) -> str:
    """The text of a tool's answer."""
    block: Any = result.content[0]
    return block.text


def id_of(result: CallToolResult) -> str:
    """The id of the approval that a tool answered with."""
    content: Any = result.structured_content
    return content["id"]


if __name__ == "__main__":
    raise SystemExit(anyio.run(main))
