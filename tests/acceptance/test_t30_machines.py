"""Two machines on one PostgreSQL database: each has an inbox of its own, on its own loopback address."""

import os
import subprocess
import sys
from pathlib import Path

import postgres
import pytest
from replicas import port, served

ELSEWHERE = ["unshare", "--net", *([] if os.getuid() == 0 else ["--map-root-user"])]
"""Runs a command with a loopback address of its own, as on another machine; its sockets of files are still ours."""
ON_ITS_LOOPBACK = """
import fcntl, runpy, socket, struct
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x49))
runpy.run_module("mcp_hitl", run_name="__main__", alter_sys=True)
"""


def test_t30_each_machine_has_an_inbox_of_its_own(tmp_path: Path) -> None:
    if subprocess.run([*ELSEWHERE, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to make a network: root, or user namespaces")

    def elsewhere(*arguments: str) -> list[str]:
        return [*ELSEWHERE, sys.executable, "-c", ON_ITS_LOOPBACK, *arguments]

    database = postgres.database_of(tmp_path)
    with served(database) as (_, here), served(database, start=elsewhere) as (_, there):
        first, second = inbox_of(here), inbox_of(there)
        # Who goes to the second's port on this machine meets nobody, or a stranger.
        assert first != second
        assert listens(here, first) and listens(there, second)
        assert not listens(here, second) and not listens(there, first)


def inbox_of(server: "subprocess.Popen[str]") -> str:
    """The inbox as `serve` announces it after its endpoint."""
    assert server.stderr is not None
    return next(line.split()[-1] for line in server.stderr if "Inbox" in line)


def listens(process: "subprocess.Popen[str]", address: str) -> bool:
    """Whether anybody listens at this address on the machine of a process (Linux)."""
    rows = [line.split() for line in Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]]
    return f"0100007F:{int(port(address)):04X}" in {row[1] for row in rows if row[3] == "0A"}
