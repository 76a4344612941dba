"""Follows a page of the documentation as its reader would: saves its files, runs its commands, reads the answers.

- A `python`, `toml` or `json` block after a line such as "Save this as `agent.py`:" becomes that file. A policy must be
  correct. A file that no command uses afterwards is a mistake of the page.
- Another `toml` block must be a correct piece of a policy; another `json` block must be JSON.
- Each line of an `sh` block is run. `ID` becomes the id of what is pending. `mcp-hitl` runs at a terminal, where
  somebody answers y. A Python program that asks goes on in the background, until the page says "Stop the program".
- A `text` block is what the last command has printed, or else what the program in the background has when it ends. In
  it, … is any text, and a line of its own any lines.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminal import PATIENCE, terminal
from warm import warm
from wires import environment, unmeasured

from mcp_hitl.config.policy_file import parse, read

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
PEOPLE = '[people]\nfinance = ["ana", "bo"]\nmanagers = ["cy"]\n'
"""What pieces of policies on the pages take for granted."""
LANGUAGES = {"python", "toml", "json", "sh", "sql", "text"}

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SAVED = re.compile(r"Save (?:this|it) as\s+`([\w.-]+\.(?:py|toml|json))`")
_SERVES = re.compile(r"Ctrl-C|in your browser|by hand")


@dataclass(frozen=True)
class Block:
    """A fenced block, and the text between it and the one before."""

    page: str
    language: str
    code: str
    before: str

    @property
    def file(self) -> str | None:
        """The name under which the page tells its reader to save it."""
        found = _SAVED.search(self.before.strip().rpartition("\n\n")[2])
        return found[1] if found else None


def name_of(page: Path) -> str:
    """A page as the tests call it: `docs/how-to/back-up.md`."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> Iterator[Block]:
    """Every fenced block of a page, in order."""
    text, end = page.read_text(encoding="utf-8"), 0
    for found in _FENCE.finditer(text):
        yield Block(name_of(page), found[2], found[3], text[end : found.start()])
        end = found.end()


def blocks(page: str, language: str) -> list[str]:
    """The code of each block in one language."""
    return [block.code for block in blocks_of(ROOT / page) if block.language == language]


def shown(expected: str, output: str) -> bool:
    """Whether a `text` block shows this output."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else ".*".join(map(re.escape, line.rstrip().split("…"))) + r"[ ]*\n"
        for line in expected.strip().splitlines()
    )
    return re.fullmatch(pattern, output.strip() + "\n") is not None


class Reader:
    """Somebody who follows one page, in an empty folder and with a home of their own."""

    def __init__(self, folder: Path) -> None:
        """Begin in `folder`."""
        self.folder = folder
        self.variables = {
            "HOME": str(folder / "home"),
            "XDG_DATA_HOME": str(folder / "home" / "data"),
            "XDG_CONFIG_HOME": str(folder / "home" / "config"),
            "BROWSER": "true %s",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "80",
            "NO_COLOR": "1",
        }
        (folder / "home").mkdir()
        (folder / "examples").symlink_to(ROOT / "examples")
        self.unused: set[str] = set()
        self.approval = ""
        self.output = ""
        self.background: subprocess.Popen[str] | None = None

    def follow(self, block: Block) -> None:
        """Do what a block is there for."""
        if "Stop the program" in block.before:
            self.stop()
        if block.language == "sh":
            for line in block.code.replace("\\\n", "").splitlines():
                self.run(re.sub(r"(^| )\s*#.*", "", line).strip())
        elif block.language == "text":
            assert shown(block.code, self.output) or shown(block.code, self.ended()), (block.code, self.output)
        elif block.file is not None:
            (self.folder / block.file).write_text(block.code, encoding="utf-8")
            self.unused.add(block.file)
            if block.language == "toml":
                read(self.folder / block.file)
        elif block.language == "toml":
            schema = "" if "kinds.expense" in block.code else "[kinds.payment]\nschema = {}\n"
            parse(("" if "[people]" in block.code else PEOPLE) + schema + block.code)
        else:
            assert block.language == "json", f"{block.language} without a name:\n{block.code}"
            json.loads(block.code)

    def run(self, line: str) -> None:
        """Type a line at the terminal."""
        if not line:
            return
        self.unused -= {file for file in self.unused if file in line}
        for other in [file for file in self.unused if file.endswith(".py")]:  # one that another runs
            if any(other in path.read_text("utf-8") for path in self.folder.glob("*.py") if path.name in line):
                self.unused.discard(other)
        first, *words = line.split()
        if first == "export":
            name, _, value = " ".join(words).partition("=")
            self.variables[name] = value.replace("$PWD", str(self.folder)).strip('"')
        elif first == "python" and words[0].endswith(".py") and "ID" not in words:
            self.start(line)
        elif first == "mcp-hitl" and not set("|>$") & set(line) and ">" not in line:
            self.at_the_terminal(shlex.split(line))
        else:
            self.in_the_shell(line)

    def start(self, line: str) -> None:
        """Run a program until it ends, or asks and waits."""
        self.stop()
        self.background = subprocess.Popen(
            ["sh", "-c", "exec " + line],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env=unmeasured(**self.variables),
        )
        self.output = "(it runs)"

    def ended(self) -> str:
        """What the program in the background has printed, once it has ended."""
        if self.background is None:
            return "(nothing runs)"
        self.output, _ = self.background.communicate(timeout=PATIENCE)
        assert self.background.returncode == 0, self.output
        self.background = None
        return self.output

    def stop(self) -> None:
        """End the program in the background, as Ctrl-C in its terminal does."""
        if self.background is not None and self.background.poll() is None:
            os.killpg(self.background.pid, signal.SIGINT)
            self.background.communicate(timeout=PATIENCE)
        self.background = None

    def at_the_terminal(self, words: list[str]) -> None:
        """Type a command of `mcp-hitl`, and say yes where it asks."""
        if self.background is not None or "ID" in words:
            self.approval = self.pending(words) or self.approval
            words = [self.approval if word == "ID" else word for word in words]
        serving = "serve" in words or ("inbox" in words and "--sign-out" not in words)
        if "serve" in words and "--port" not in words:
            words = [*words, "--port", "0"]
        assert words[0] == "mcp-hitl"
        with terminal(warm(*words[1:]), columns=80, variables=self.variables, folder=self.folder) as person:
            if serving:
                person.until("Ctrl-C" if "serve" in words else "in your browser")
                person.process.send_signal(signal.SIGINT)
            code = person.finish(saying={"[y/N]: ": "y"})
        self.output = person.shown
        refused = self.output.startswith("mcp-hitl:") or "doctor" in words or serving
        assert code == 0 or refused, (words, self.output)

    def pending(self, words: list[str]) -> str | None:
        """The id of what is pending where a command looks, once the program in the background has asked."""
        options = words[1:3] if words[1] == "--db" else []
        command = warm(*options, "pending", "--json")
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found: Any = json.loads(self.in_the_shell(shlex.join(command)))
            if found["approvals"]:
                return found["approvals"][0]["id"]
            if self.background is None or self.background.poll() is not None:
                return None
        raise AssertionError(f"nothing was asked for: {command}")

    def in_the_shell(self, line: str) -> str:
        """Run a line in a shell, with nobody at a terminal."""
        line = re.sub(r"\bID\b", self.approval, line)
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment(**self.variables),
            timeout=PATIENCE,
        )
        assert done.returncode == 0, (line, done.stderr)
        self.output = done.stdout
        return done.stdout
