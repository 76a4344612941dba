"""A disk that is full, or may only be read: what waits and the evidence can be looked at, and nothing changes."""

import json
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest
from asked import AGENT, ask
from terminal import run

from mcp_hitl.desk import Desk
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.sqlite.unwritable import UnwritableStore

CASES = ["full", "read-only", "full after a crash", "read-only after a crash"]


@pytest.fixture(params=CASES)
def unwritable(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[tuple[Path, str]]:
    """A database in which something waits, on a disk that cannot be written any more; and the id of that."""
    made = tmp_path / "made" / "hitl.db"
    made.parent.mkdir()
    asked = ask(made)
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=False).returncode:
        pytest.skip("a file system of its own takes rights that are missing here")
    try:
        if "crash" in request.param:
            _crash(made, disk)
        else:
            shutil.copy(made, disk)
        if "full" in request.param:
            with (disk / "filling").open("wb", buffering=0) as filling, pytest.raises(OSError, match="No space"):
                while True:
                    filling.write(b"x" * 4096)
        else:
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        yield disk / "hitl.db", asked
    finally:
        subprocess.run(["umount", disk], check=True)


def _crash(database: Path, into: Path) -> None:
    """Copy what a process that has just written something leaves if it is killed."""

    async def crash() -> None:
        store = SqliteStore(database)
        await Desk(store, effects=EFFECTS).approvals.submit(AGENT, "action", {"do": "it"}, claim="Do it")
        for file in database.parent.glob("hitl.db*"):
            shutil.copy(file, into)
        await store.close()

    anyio.run(crash)
    assert (into / "hitl.db-wal").stat().st_size


def test_what_waits_and_the_evidence_can_be_read_on_a_disk_that_cannot_be_written(
    unwritable: tuple[Path, str], tmp_path: Path
) -> None:
    database, asked = unwritable
    # What a crash has left opens as ever: SQLite has to make no file, and may put its log away.
    crashed = database.with_name("hitl.db-wal").exists()
    before = database.read_bytes()
    pending = run(database, "pending", "--json")
    assert pending.returncode == 0, pending.stderr
    assert asked in [one["id"] for one in json.loads(pending.stdout)["approvals"]]
    assert crashed or "nothing can be changed" in pending.stderr
    copy = tmp_path / "audit.jsonl"
    for command in (
        ["show", asked],
        ["audit", "list"],
        ["audit", "head"],
        ["audit", "verify"],
        ["audit", "export", str(copy)],
    ):
        done = run(database, *command)
        assert done.returncode == 0, (command, done.stderr)
    assert run(None, "audit", "verify", str(copy)).returncode == 0
    with pytest.raises(Unavailable, match="only be read"):
        anyio.run(UnwritableStore(database).write, nothing)
    assert crashed or database.read_bytes() == before


def nothing(_: object) -> None:
    """Change nothing."""
