"""`make demo`, by itself."""

import subprocess
import sys
from pathlib import Path

import pytest
from wires import environment

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


@pytest.mark.skipif(sys.platform == "win32", reason="the pretended person sits at a pseudo-terminal")
def test_the_demo_goes_through_whatever_is_configured_and_whatever_the_output_can_say(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO)],
        capture_output=True,
        text=True,
        env=environment(DEMO_AUTO="1", MCP_HITL_DB=str(tmp_path / "mine.db"), PYTHONIOENCODING="ascii"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert " --db " in done.stdout and "[y/N]: y" in done.stdout and " is approved: Expense: 129.9 EUR" in done.stdout
    assert not (tmp_path / "mine.db").exists()
