"""How long a command of the terminal takes to start, beside what importing the MCP SDK takes (medians, interleaved)."""

import os
import subprocess
import sys
import time
from statistics import median

from benchmarks.figures import Figure, database

RUNS = 9


def measure() -> list[Figure]:
    """`mcp-hitl pending --json` on an existing database, `import mcp`, and their ratio within this run."""
    with database() as path:
        pending = [sys.executable, "-m", "mcp_hitl", "--db", str(path), "pending", "--json"]
        importing = [sys.executable, "-c", "import mcp"]
        for command in (pending, importing):
            _seconds(command)  # makes the database and the byte code
        rounds = [(_seconds(pending), _seconds(importing)) for _ in range(RUNS)]
    ours = median(seconds for seconds, _ in rounds)
    sdk = median(seconds for _, seconds in rounds)
    return [
        Figure("start of `pending --json`", ours * 1_000, "ms"),
        Figure("start of a Python that imports the MCP SDK", sdk * 1_000, "ms"),
        Figure("start of `pending --json` / importing the SDK", ours / sdk, "ratio", "<= 0.4"),
    ]


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=dict(os.environ))
    return time.perf_counter() - started
