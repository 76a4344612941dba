"""`install` changes one entry of a client's configuration, after the person has seen it, and nothing else."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import click
import pytest
from mcp import Client, StdioServerParameters
from terminal import run, terminal
from warm import warm
from wires import content, environment, launcher

CLIENTS = ("claude-desktop", "claude-code")
DESKTOP_FILES = {
    "linux": ".config/Claude/claude_desktop_config.json",
    "darwin": "Library/Application Support/Claude/claude_desktop_config.json",
    "win32": "AppData/Roaming/Claude/claude_desktop_config.json",
}
ODD = """{
\t"theme" : "dark",   "big": 12345678901234567890.50,
\t"mcpServers": {
\t\t"files": {"command": "npx", "args": ["-y", "ünï"]}
\t},
\t"last": [ 1,2 ]
}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder in which Claude Desktop has run."""
    (tmp_path / DESKTOP_FILES[sys.platform]).parent.mkdir(parents=True)
    return tmp_path


def of(home: Path) -> dict[str, str]:
    """The environment of somebody whose home this is."""
    return {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "APPDATA": str(home / "AppData" / "Roaming"),
        "LOCALAPPDATA": str(home / "AppData" / "Local"),
        "XDG_CONFIG_HOME": "",
        "CLAUDE_CONFIG_DIR": "",
    }


def file_of(home: Path, client: str) -> Path:
    return home / (DESKTOP_FILES[sys.platform] if client == "claude-desktop" else ".claude.json")


def install(home: Path, client: str, *options: str, database: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return run(database, "install", client, *options, variables=of(home))


def written(file: Path) -> Any:
    return json.loads(file.read_text())


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_written_starts_this_server_for_a_program_with_another_path(home: Path, client: str) -> None:
    database = home / "it's mine" / "hitl.db"
    done = install(home, client, "--yes", database=database)
    assert done.returncode == 0 and "approvals" in done.stdout
    entry = written(file_of(home, client))["mcpServers"]["approvals"]
    assert entry.get("type") == ("stdio" if client == "claude-code" else None)
    assert os.path.isabs(entry["command"]) and entry["args"][-2:] == ["--db", str(database)]
    parameters = StdioServerParameters(command=entry["command"], args=entry["args"], env={"PATH": "/nowhere"}, cwd="/")

    async def ask() -> Mapping[str, Any]:
        async with Client(parameters) as connected:
            return content(await connected.call_tool("list-pending", {}))

    assert anyio.run(ask)["total"] == 0
    assert database.exists()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_second_time_there_is_nothing_to_change(home: Path, client: str) -> None:
    assert install(home, client, "--yes").returncode == 0
    before = file_of(home, client).read_bytes()
    done = install(home, client)
    assert done.returncode == 0 and "was not changed" in done.stdout
    assert file_of(home, client).read_bytes() == before
    assert [path.name for path in file_of(home, client).parent.iterdir() if "bak" in path.name] == []


def test_the_person_sees_the_difference_and_decides(home: Path) -> None:
    file = file_of(home, "claude-code")
    file.write_text(ODD)
    for typed, code in (("n", 1), ("y", 0)):
        with terminal(warm("install", "claude-code"), variables=of(home)) as person:
            shown = click.unstyle(person.answer("Make this change to Claude Code's configuration? [y/N]: ", typed))
            assert person.finish() == code
        removed = [line for line in shown.splitlines() if line.startswith("-")]
        assert [line.split()[1] for line in removed] == [str(file), '"files":']
        assert '\n+        "approvals": {\n' in shown
        assert (file.read_text() == ODD) == (typed == "n")
    assert "claude mcp list" in person.shown


def test_without_a_terminal_nobody_agrees(home: Path) -> None:
    done = install(home, "claude-code")
    assert done.returncode == 2 and "there is none here. Nothing was changed" in done.stderr
    assert not file_of(home, "claude-code").exists()


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_everything_else_in_the_file_stays_to_the_letter(home: Path, newline: str) -> None:
    file = file_of(home, "claude-code")
    before = b"\xef\xbb\xbf" + ODD.replace("\n", newline).encode()
    file.write_bytes(before)
    assert install(home, "claude-code", "--yes").returncode == 0
    after = file.read_bytes()
    end = before.index(b'"]}') + 3
    assert after.startswith(before[:end] + b"," + newline.encode() + b'\t\t"approvals": {') and after.endswith(
        before[end:]
    )
    assert json.loads(after.decode("utf-8-sig"))["mcpServers"]["approvals"]["type"] == "stdio"
    assert after.count(b"\n") == after.count(newline.encode())
    assert file.with_name(".claude.json.bak").read_bytes() == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "mcpServers": {\n    "x": {\n'),
        ("{}", '{\n  "mcpServers": {\n    "x": {\n'),
        ('{"a":1}', '{"a":1,"mcpServers":{"x":{"type":"stdio","command":'),
        ('{"mcpServers":{},"a":1}', '{"mcpServers":{"x":{"type":"stdio","command":'),
        ('{\n   "mcpServers": {}\n}\n', '{\n   "mcpServers": {\n      "x": {\n         "type": "stdio",'),
    ],
    ids=["nothing", "empty", "one line", "no servers", "indented by three"],
)
def test_the_entry_is_written_as_the_file_is(home: Path, before: str, after: str) -> None:
    file = file_of(home, "claude-code")
    file.write_text(before)
    assert install(home, "claude-code", "--yes", "--name", "x").returncode == 0
    assert file.read_text().startswith(after)
    assert written(file)["mcpServers"].keys() == {"x"} and written(file).get("a", 1) == 1


def test_an_entry_of_this_name_is_replaced_and_keeps_its_environment(home: Path) -> None:
    file = file_of(home, "claude-code")
    file.write_text(
        json.dumps({"mcpServers": {"approvals": {"command": "old", "args": [], "env": {"A": "1"}}, "b": {}}})
    )
    done = install(home, "claude-code", "--yes")
    assert done.returncode == 0 and "old" in done.stderr
    servers = written(file)["mcpServers"]
    assert servers["approvals"]["env"] == {"A": "1"} and servers["approvals"]["command"] != "old"
    assert list(servers) == ["approvals", "b"]
    file.write_text(json.dumps({"mcpServers": {"approvals": {"type": "http", "url": "http://x"}}}))
    assert install(home, "claude-code", "--yes").returncode == 0
    assert written(file)["mcpServers"]["approvals"].keys() == {"type", "command", "args"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1,}', "is not JSON"),
        ('{\n  "a": [1,\n}', "line 3, column 1"),
        ("[]", "must be a JSON object"),
        ('{"mcpServers": []}', "'mcpServers', which must be an object (line 1, column 16)"),
        ('{"a": {}, "a": {}}', "the key “a” twice in one object (line 1, column 16)"),
        ('{"mcpServers": {"b": [1, {"c": 1,\n "c": 2}]}}', "the key “c” twice in one object (line 2, column 7)"),
        ('{"a": {"b": NaN}}', "is not JSON"),
        ("[" * 50_000, "nested too deeply"),
        ('{"a": "\udcff"}', "not text in UTF-8"),
    ],
    ids=["comma", "place", "list", "servers", "twice", "twice below", "no number", "deep", "no text"],
)
def test_a_file_that_is_not_understood_is_left_alone(home: Path, text: str, says: str) -> None:
    file = file_of(home, "claude-code")
    file.write_bytes(text.encode(errors="surrogateescape"))
    done = install(home, "claude-code", "--yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and "Traceback" not in done.stderr
    assert file.read_bytes() == text.encode(errors="surrogateescape") and len(list(home.glob(".claude*"))) == 1


def test_t25_what_deceives_in_the_file_is_shown_as_an_escape(home: Path) -> None:
    file = file_of(home, "claude-code")
    file.write_text('{\n  "x\u202ey": "\u200b",\n  "z": 1\n}\n')
    done = install(home, "claude-code", "--yes")
    assert "\u202e" not in done.stderr and "x\\u202ey" in done.stderr
    assert "x\u202ey" in file.read_text()


@pytest.mark.skipif(os.name != "posix", reason="modes and links are a POSIX thing")
def test_mode_and_link_stay_and_a_copy_is_never_overwritten(home: Path) -> None:
    real, link = home / "dotfiles.json", file_of(home, "claude-code")
    real.write_text("{}")
    real.chmod(0o640)
    link.symlink_to(real)
    for name in ("one", "two"):
        assert install(home, "claude-code", "--yes", "--name", name).returncode == 0
    assert link.is_symlink() and written(real)["mcpServers"].keys() == {"one", "two"}
    assert stat.S_IMODE(real.stat().st_mode) == stat.S_IMODE((home / "dotfiles.json.bak").stat().st_mode) == 0o640
    assert (home / "dotfiles.json.bak").read_text() == "{}" and "one" in (home / "dotfiles.json.bak2").read_text()
    assert sorted(path.name for path in home.glob("*dotfiles*")) == [
        "dotfiles.json", "dotfiles.json.bak", "dotfiles.json.bak2",
    ]  # fmt: skip


def test_a_file_that_changes_while_the_person_looks_is_not_overwritten(home: Path) -> None:
    file = file_of(home, "claude-code")
    with terminal(warm("install", "claude-code"), variables=of(home)) as person:
        person.until("[y/N]: ")
        file.write_text('{"numStartups": 1}')
        person.enter("y")
        assert person.finish() == 2
    assert "was changed meanwhile" in person.shown and file.read_text() == '{"numStartups": 1}'


def test_where_claude_desktop_has_never_run_nothing_is_made(tmp_path: Path) -> None:
    done = install(tmp_path, "claude-desktop", "--yes")
    assert done.returncode == 2 and "Claude Desktop has not run in this account" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_default_that_only_this_shell_has_is_spelled_out(home: Path) -> None:
    done = run(None, "install", "claude-code", "--yes", variables=of(home) | {"XDG_DATA_HOME": str(home / "data")})
    assert done.returncode == 0
    assert (
        str(home / "data" / "mcp-hitl" / "hitl.db")
        in written(file_of(home, "claude-code"))["mcpServers"]["approvals"]["args"]
    )


def test_the_default_database_is_not_spelled_out_and_the_policy_is(home: Path) -> None:
    policy = home / "policy.toml"
    policy.write_text('profile = "solo"\n')
    done = subprocess.run(
        launcher("--config", str(policy), "install", "claude-code", "--yes"),
        capture_output=True,
        env={name: value for name, value in environment(**of(home)).items() if name != "XDG_DATA_HOME"},
    )
    assert done.returncode == 0
    assert written(file_of(home, "claude-code"))["mcpServers"]["approvals"]["args"][-2:] == ["--config", str(policy)]
    assert "--db" not in written(file_of(home, "claude-code"))["mcpServers"]["approvals"]["args"]


def test_claude_code_can_keep_its_configuration_elsewhere(home: Path) -> None:
    (home / "alt").mkdir()
    done = run(None, "install", "claude-code", "--yes", variables=of(home) | {"CLAUDE_CONFIG_DIR": str(home / "alt")})
    assert done.returncode == 0 and (home / "alt" / ".claude.json").exists()


@pytest.mark.parametrize("wrong", [("claude",), ("claude-code", "--name", "a b"), ("claude-code", "--name", "")])
def test_wrong_use_is_told(home: Path, wrong: tuple[str, ...]) -> None:
    done = run(None, "install", *wrong, "--yes", variables=of(home))
    assert done.returncode == 2 and done.stderr.startswith("Usage: ")
