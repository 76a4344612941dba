"""`make demo`, by itself."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from wires import unmeasured

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


@pytest.mark.skipif(sys.platform == "win32", reason="the pretended person sits at a pseudo-terminal")
def test_the_demo_goes_through_whatever_is_configured_and_whatever_the_output_can_say(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO)],
        capture_output=True,
        text=True,
        env=unmeasured(DEMO_AUTO="1", MCP_HITL_DB=str(tmp_path / "mine.db"), PYTHONIOENCODING="ascii"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert " --db " in done.stdout and "[y/N]: y" in done.stdout and " is approved: Expense: 129.90 EUR" in done.stdout
    assert not (tmp_path / "mine.db").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the pretended person sits at a pseudo-terminal")
def test_whoever_plays_along_is_asked_where_they_want_to_decide(tmp_path: Path) -> None:
    import pty

    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(DEMO)], stdin=terminal, stdout=terminal, stderr=terminal, env=unmeasured()
    )
    os.close(terminal)
    try:
        shown = b""
        for prompt, answer in ((b"browser (i)? ", b"\n"), (b"[y/N]: ", b"n\n")):
            while not shown.endswith(prompt):
                shown += os.read(master, 1024)
            os.write(master, answer)
        with suppress(OSError):  # how Linux tells that the program has closed its end
            while piece := os.read(master, 1024):
                shown += piece
        assert process.wait(timeout=60) == 1
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert b"Nobody approved, so nothing happens." in shown
