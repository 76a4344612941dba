"""The power fails between a commit and the head that is kept beside the database, in either order.

A process is killed in the middle of it, and the files are put together as a disk could have them then: each write of
each file is there, or not yet.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from asked import AGENT, ask, on_desk
from wires import unmeasured

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.evidence.chain import Recorded
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.errors import Paused

ANA = Principal("os:ana", Established.OS_USER)
NAMES = ("hitl.db", "hitl.db-wal", "hitl.db.head")
_COMMIT = """
import os, sys
from pathlib import Path
import anyio
from mcp_hitl.desk import Desk
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore

async def main():
    desk = Desk(SqliteStore(Path(sys.argv[1])), effects=EFFECTS)
    await desk.approvals.submit(Principal("os:agent", Established.OS_USER), "action", {"n": 1})
    os.kill(os.getpid(), 9)

anyio.run(main)
"""


@pytest.fixture
def moments(tmp_path: Path) -> list[dict[str, bytes]]:
    """The files before and after one commit of a process that was killed; its log was not checkpointed."""
    database = tmp_path / "made" / "hitl.db"
    approval_id = ask(database, "action", {"do": "it"})

    async def approve(desk: Desk) -> None:
        shown = Shown.of(await desk.approvals.get(AGENT, approval_id))
        await desk.decisions.decide(ANA, shown, Verdict.APPROVE, assurance=Assurance.LOCAL)

    on_desk(database, approve)
    found = [_files(database.parent)]
    done = subprocess.run([sys.executable, "-c", _COMMIT, str(database)], check=False, env=unmeasured(), timeout=60)
    assert done.returncode == -9
    found.append(_files(database.parent))
    assert found[1]["hitl.db-wal"] and found[0]["hitl.db.head"] != found[1]["hitl.db.head"]
    return found


def _files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() if (folder / name).exists() else b"" for name in NAMES}


def _put(folder: Path, files: dict[str, bytes]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        if content:
            (folder / name).write_bytes(content)
    return folder / NAMES[0]


async def _entries(desk: Desk) -> list[Recorded]:
    await desk.check_policy()
    return await desk.evidence.entries()


async def _act(desk: Desk) -> OutcomeState:
    await desk.check_policy()
    [entry] = [one.entry for one in await desk.evidence.entries() if one.entry.event.value == "approved"]
    ready = await desk.approvals.get(AGENT, entry.approval)
    return (await desk.approvals.redeem(AGENT, ready.id, ready.digest)).outcome.state


async def _confirm(desk: Desk) -> bool:
    return await desk.copies.confirm(ANA)


def test_t43_a_head_that_is_older_than_the_log_or_torn_or_missing_holds_nothing(
    moments: list[dict[str, bytes]], tmp_path: Path
) -> None:
    before, after = moments
    torn = after["hitl.db.head"][:57] + before["hitl.db.head"][57:]
    zeros = bytes(len(torn))
    for head in (before["hitl.db.head"], torn, torn[:30], zeros, b""):
        database = _put(tmp_path / "left", after | {"hitl.db.head": head})
        assert len(on_desk(database, _entries)) == 4
        assert on_desk(database, _act) is OutcomeState.RUNNING


@pytest.mark.parametrize("kept", [0, 31, -2000], ids=["none of the log", "less than its header", "half of the commit"])
def test_t43_a_head_that_is_ahead_of_the_log_holds_until_a_person_confirms_and_no_longer(
    moments: list[dict[str, bytes]], tmp_path: Path, kept: int
) -> None:
    """The commit was not durable. That the disk lost it, or somebody put it back, looks the same: a person says."""
    after = moments[1]
    database = _put(tmp_path / "left", after | {"hitl.db-wal": after["hitl.db-wal"][:kept]})
    for _ in range(2):
        with pytest.raises(Paused):
            on_desk(database, _act)
    assert on_desk(database, _confirm)
    assert not on_desk(database, _confirm)
    assert on_desk(database, _act) is OutcomeState.RUNNING


def test_t43_a_rewound_database_does_not_act_however_the_power_failed(
    moments: list[dict[str, bytes]], tmp_path: Path
) -> None:
    database = _put(tmp_path / "used", moments[0])
    assert on_desk(database, _act) is OutcomeState.RUNNING
    head = (database.parent / "hitl.db.head").read_bytes()
    for log in (b"", os.urandom(5_000)):
        rewound = _put(tmp_path / "left", moments[0] | {"hitl.db.head": head, "hitl.db-wal": log})
        for _ in range(2):
            with pytest.raises(Paused):
                on_desk(rewound, _act)
