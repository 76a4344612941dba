"""A disk that fails while a commit waits for it: what the caller is told is true after a crash too."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from asked import look
from wires import unmeasured

from mcp_hitl.domain.approvals.approval import Status

HERE = Path(__file__).parent
FOR_GOOD = 1_000

if not sys.platform.startswith("linux") or shutil.which("gcc") is None:
    pytest.skip("the disk is made to fail with gcc and LD_PRELOAD, on Linux", allow_module_level=True)


@pytest.fixture(scope="module")
def failing_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that lets syncs of the write-ahead log fail."""
    library = tmp_path_factory.mktemp("disk") / "failing_disk.so"
    source = HERE / "failing_disk.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def decided_on(failing_disk: Path, database: Path, syncs: int) -> tuple[str, str, Status]:
    """What the person was told who approved while that many syncs failed, what was shown, and what a crash left."""
    done = subprocess.run(
        [sys.executable, str(HERE / "on_failing_disk.py"), str(database), str(syncs)],
        capture_output=True,
        text=True,
        env=unmeasured(LD_PRELOAD=str(failing_disk), FAILING_SYNCS=str(database.with_name("syncs"))),
        timeout=60,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    approval_id, told, seen = done.stdout.split()
    return told, seen, look(database, approval_id).status


def test_t09_a_change_that_is_said_not_to_have_happened_does_not_appear_after_a_crash(
    failing_disk: Path, tmp_path: Path
) -> None:
    told, seen, left = decided_on(failing_disk, tmp_path / "hitl.db", 1)
    assert (told, seen, left) == ("unavailable", "pending", Status.PENDING)


def test_t09_a_change_of_which_nobody_knows_what_the_disk_holds_is_said_to_be_uncertain(
    failing_disk: Path, tmp_path: Path
) -> None:
    told, seen, _ = decided_on(failing_disk, tmp_path / "hitl.db", FOR_GOOD)
    assert (told, seen) == ("uncertain", "pending")


def test_a_disk_that_works_is_told_as_such(failing_disk: Path, tmp_path: Path) -> None:
    assert decided_on(failing_disk, tmp_path / "hitl.db", 0) == ("approved", "approved", Status.APPROVED)
