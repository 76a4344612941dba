"""A person at a real terminal: a pseudo-terminal that shows prompts and takes what is typed (POSIX)."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from warm import warm
from wires import environment, launcher

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are a POSIX thing", allow_module_level=True)

import termios

PATIENCE = 60.0
"""Seconds until a prompt that does not come fails the test."""
END_OF_INPUT = "\x04"


class Terminal:
    """A running program, what its terminal has shown, and a keyboard."""

    def __init__(self, process: "subprocess.Popen[str]", screen: int, line: str) -> None:
        """`screen` is the terminal's own end of the line, and `line` the name of the other."""
        self.process = process
        self._line = line
        self.shown = ""
        self._screen = screen
        self._read_to = 0

    def until(self, prompt: str) -> str:
        """Read until `prompt` is shown, and return everything since the last time; the rest is for the next call."""
        deadline = time.monotonic() + PATIENCE
        while prompt not in self.shown[self._read_to :]:
            assert self._read(deadline), f"{prompt!r} never came; the terminal shows:\n{self.shown}"
        start, self._read_to = self._read_to, self.shown.index(prompt, self._read_to) + len(prompt)
        return self.shown[start : self._read_to]

    def until_it_reads(self) -> None:
        """Wait until the program sleeps in its read: a signal just before would be seen only after the next key."""
        deadline = time.monotonic() + PATIENCE
        while (reader := self._reader()) is None:
            assert time.monotonic() < deadline, "nobody reads from the terminal"
        status = Path(f"/proc/{reader}/stat")
        while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, "the program never came to rest"

    def type(self, keys: str) -> None:
        """Type `keys` as they are."""
        os.write(self._screen, keys.encode())

    def enter(self, line: str) -> None:
        """Type a line."""
        self.type(line + "\n")

    def answer(self, prompt: str, line: str) -> str:
        """Wait for `prompt`, then type a line; returns what was shown up to the prompt."""
        shown = self.until(prompt)
        self.enter(line)
        return shown

    def finish(self, *, saying: Mapping[str, str] | None = None) -> int:
        """Read to the end and return the exit code; after each prompt in `saying`, type its line."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            for prompt, line in (saying or {}).items():
                if self.shown.endswith(prompt):
                    self.enter(line)
        return self.process.wait(PATIENCE)

    def _reader(self) -> str | None:
        """The process that has the terminal as its input."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # ended meanwhile, or somebody else's
                if str((process / "fd" / "0").readlink()) == self._line:
                    return process.name
        return None

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"the terminal went silent; it shows:\n{self.shown}"
        try:
            piece = os.read(self._screen, 65_536)
        except OSError:  # how Linux tells that the program has closed its end
            return False
        self.shown += piece.decode(errors="surrogateescape")
        return bool(piece)


@contextmanager
def terminal(
    command: Sequence[str],
    *,
    columns: int = 100,
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Generator[Terminal]:
    """Run `command` at a terminal of its own; what it prints arrives as it was written, line ends included."""
    screen, line = os.openpty()
    attributes = termios.tcgetattr(line)
    attributes[1] &= ~termios.OPOST  # or every line feed would get a carriage return
    termios.tcsetattr(line, termios.TCSANOW, attributes)
    termios.tcsetwinsize(line, (40, columns))
    process = subprocess.Popen(
        command,
        stdin=line,
        stdout=line,
        stderr=line,
        text=True,
        start_new_session=True,
        cwd=folder,
        env=environment(**(variables or {})),
    )
    name = os.ttyname(line)
    os.close(line)
    try:
        yield Terminal(process, screen, name)
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def at_terminal(database: Path | str, *arguments: str, columns: int = 100) -> AbstractContextManager[Terminal]:
    """`mcp-hitl` on `database`, at a terminal."""
    return terminal(warm("--db", str(database), *arguments), columns=columns)


def run(
    database: Path | str | None, *arguments: str, variables: Mapping[str, str] | None = None, columns: int = 100
) -> "subprocess.CompletedProcess[str]":
    """`mcp-hitl` with nobody at a terminal: input is empty, output and errors are collected."""
    where = [] if database is None else ["--db", str(database)]
    of_python = any(name.startswith("PYTHON") for name in variables or ())  # what it reads before anything is imported
    return subprocess.run(
        (launcher if of_python else warm)(*where, *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(COLUMNS=str(columns), **(variables or {})),
        timeout=PATIENCE,
        check=False,
    )
