"""An export is the whole log, or is seen to be less: whatever interrupts it, and whatever is done to its text."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from asked import ask
from terminal import run
from wires import environment

from mcp_hitl.desk.exports import verify_export
from mcp_hitl.domain.evidence.ledger import Broken

EVERY = 1 if os.environ.get("SOAK") else 4
_EXPORT_AND_DIE = """
import os, signal, sys
from mcp_hitl.__main__ import main
from mcp_hitl.desk.evidence import Evidence

lines = int(sys.argv.pop(1))
export = Evidence.export

async def cut_off(self, write, **options):
    written = 0
    def one(line):
        nonlocal written
        if written == lines:
            os.kill(os.getpid(), getattr(signal, sys.argv[0]))
        written += 1
        out = write(line)
        write.__closure__[0].cell_contents.flush()
    return await export(self, one, **options)

Evidence.export = cut_off
sys.argv[0] = "SIGKILL"
main()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with some entries."""
    database = tmp_path / "hitl.db"
    for number in range(5):
        ask(database, "action", {"amount": number, "note": "for lunch"})
    return database


@pytest.fixture
def lines(database: Path, tmp_path: Path) -> list[str]:
    """The lines of its export."""
    file = tmp_path / "whole.jsonl"
    assert run(database, "audit", "export", str(file)).returncode == 0
    return file.read_text().splitlines(keepends=True)


@pytest.mark.parametrize("written", range(0, 7, 1 if EVERY == 1 else 3))
def test_t35_an_export_that_is_killed_leaves_no_file_under_its_name(
    database: Path, tmp_path: Path, written: int
) -> None:
    file = tmp_path / "audit.jsonl"
    command = [sys.executable, "-c", _EXPORT_AND_DIE, str(written), "--db", str(database), "audit", "export", str(file)]
    done = subprocess.run(command, env=environment(), check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not file.exists()


def test_t35_an_export_that_cannot_be_written_leaves_nothing(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", folder], check=False).returncode:
        pytest.skip("a file system of its own takes rights that are missing here")
    try:
        done = run(database, "audit", "export", str(folder / "audit.jsonl"))
        assert (done.returncode, list(folder.iterdir())) == (2, []), done.stderr
        assert "No space left on device" in done.stderr
    finally:
        subprocess.run(["umount", folder], check=True)


def test_t35_no_beginning_of_an_export_verifies(lines: list[str]) -> None:
    text = "".join(lines)
    assert verify_export(iter(text.splitlines(keepends=True))).wrong is None
    for length in range(0, len(text) - 1, EVERY):
        try:
            wrong = verify_export(iter(text[:length].splitlines(keepends=True))).wrong
        except Broken as broken:
            wrong = str(broken)
        assert wrong is not None, f"the first {length} of {len(text)} characters verify"


def test_t35_the_command_says_what_to_do_with_a_shorter_file(lines: list[str], tmp_path: Path) -> None:
    file = tmp_path / "shorter.jsonl"
    file.write_text("".join(lines[:-1]))
    done = run(None, "audit", "verify", str(file))
    assert done.returncode == 1
    assert done.stdout == (
        "Broken: line 6: the export ends here without its last line: what follows was cut off. Export the log again.\n"
    )


def test_an_export_of_before_verifies_and_says_what_it_cannot_prove(lines: list[str], tmp_path: Path) -> None:
    file = tmp_path / "before.jsonl"
    header = json.loads(lines[0]) | {"format": "mcp-hitl-audit/1"}
    file.write_text("".join([json.dumps(header) + "\n", *lines[1:-1]]))
    done = run(None, "audit", "verify", str(file))
    assert done.returncode == 0 and done.stdout.startswith("5 entries, unbroken. Head: sha256:")
    assert "does not say how many entries there were" in done.stdout
    told = json.loads(run(None, "audit", "verify", str(file), "--json").stdout)
    assert told["wrong"] is None and "mcp-hitl-audit/1" in told["unchecked"]


def test_an_export_in_a_format_of_later_is_not_vouched_for(lines: list[str], tmp_path: Path) -> None:
    file = tmp_path / "later.jsonl"
    file.write_text("".join([json.dumps(json.loads(lines[0]) | {"format": "mcp-hitl-audit/99"}) + "\n", *lines[1:]]))
    done = run(None, "audit", "verify", str(file))
    assert done.returncode == 1
    assert "does not know the format mcp-hitl-audit/99; verify it with a newer mcp-hitl" in done.stdout


def test_t03_an_export_that_two_readers_could_read_differently_is_broken(lines: list[str]) -> None:
    amount = [line.replace('"amount": 3', '"amount": 5000000, "amount": 3') for line in lines]
    actor = [line.replace('"actor": ', '"actor": "os:ceo", "actor": ', 1) for line in lines]
    header = [lines[0].replace('"database": ', '"database": "other", "database": '), *lines[1:]]
    database = [lines[0].replace('"redacted": false', '"redacted": "no"'), *lines[1:]]
    longer = [*lines, lines[-1]]
    at = [line.replace('Z", "data"', '999Z", "data"', 1) for line in lines]
    redacted = [line.replace('"contents"', '"redacted": ["sha256:x"], "contents"') for line in lines]
    for attacked in (amount, actor, header, database, longer, at, redacted):
        assert attacked != lines
        try:
            wrong = verify_export(iter(attacked)).wrong
        except Broken as broken:
            wrong = str(broken)
        assert wrong is not None, attacked
    assert (verify_export(iter(amount)).wrong or "").endswith("it has 'amount' twice in one object. Use each key once")
