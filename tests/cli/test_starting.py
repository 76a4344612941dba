"""How commands start: settings, refusals, exit codes, and what they do not load."""

import gc
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from asked import ask
from terminal import run, terminal
from wires import environment, launcher, unmeasured

from mcp_hitl import __version__
from mcp_hitl.cli import running, serve
from mcp_hitl.config import Location, load
from mcp_hitl.domain.values.errors import Invalid

SLOW = {"filelock", "jinja2", "jsonschema", "mcp", "mcp_types", "pydantic", "sqlite_utils", "starlette", "uvicorn"}
OPERATING = ("audit", "pause", "resume", "reconcile", "policy", "doctor", "install")


def loaded_by(*arguments: str) -> set[str]:
    """The top-level packages that a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "mcp_hitl", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=unmeasured())
    modules = re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)
    assert "mcp_hitl.cli.main" in modules
    return {name.partition(".")[0] for name in modules}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


def test_the_version_is_told() -> None:
    done = run(None, "--version")
    assert (done.returncode, done.stdout) == (0, f"mcp-hitl, version {__version__}\n")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command(flag: str) -> None:
    done = run(None, flag)
    assert done.returncode == 0
    for command in ("serve", "inbox", "pending", "show", "approve", "reject", "edit", "cancel", "lift", *OPERATING):
        assert re.search(f"^  {command} ", done.stdout, re.MULTILINE)


def test_at_a_terminal_without_a_command_there_is_help_and_not_a_server(tmp_path: Path) -> None:
    with terminal(launcher("--db", str(tmp_path / "hitl.db"))) as person:
        assert person.finish() == 0
    assert person.shown.startswith("Usage: mcp-hitl ")
    assert not (tmp_path / "hitl.db").exists()


@pytest.mark.parametrize(
    "wrong",
    [("lunch",), ("show",), ("pending", "--limit", "0"), ("pending", "--limit", "101"), ("approve", "--maybe", "x")],
    ids=" ".join,
)
def test_wrong_use_exits_with_2_and_says_how_it_is_used(wrong: tuple[str, ...]) -> None:
    done = run(None, *wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: mcp-hitl ")


def test_the_database_comes_from_the_environment_and_the_option_goes_first(tmp_path: Path) -> None:
    named, other = tmp_path / "named.db", tmp_path / "other.db"
    approval_id = ask(named)
    assert approval_id in run(None, "pending", variables={"MCP_HITL_DB": str(named)}).stdout
    assert approval_id in run(named, "pending", variables={"MCP_HITL_DB": str(other)}).stdout
    assert not other.exists()


def test_a_tilde_in_the_databases_path_is_the_home_folder(tmp_path: Path) -> None:
    done = run(None, "pending", variables={"MCP_HITL_DB": "~/desk/hitl.db", "HOME": str(tmp_path)})
    assert done.returncode == 0
    assert (tmp_path / "desk" / "hitl.db").exists()


def test_by_default_the_database_lies_in_the_users_data_folder(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "MCP_HITL_DB": ""}
    assert run(None, "pending", variables=home).returncode == 0
    assert [path.name for path in tmp_path.rglob("hitl.db")] == ["hitl.db"]


def test_the_databases_file_is_its_owners_alone(database: Path) -> None:
    run(database, "pending")
    assert database.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"MCP_HITL_DB": "mysql://localhost/hitl"}, "or a URL that begins with postgresql://."),
        ({"MCP_HITL_DB": "postgresql://127.0.0.1:1/hitl"}, "cannot be reached"),
        ({"MCP_HITL_CONFIG": "policy.toml"}, "There is no policy file at policy.toml."),
        ({"MCP_HITL_KEY": "short"}, "at least 32 bytes"),
    ],
    ids=["another scheme", "a server that is away", "policy file", "short key"],
)
@pytest.mark.parametrize("command", [("pending",), ()], ids=["pending", "stdio"])
def test_a_setting_that_cannot_be_followed_is_refused_in_a_sentence(
    variables: dict[str, str], says: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    done = run(None, *command, variables={"MCP_HITL_DB": str(tmp_path / "hitl.db")} | variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mcp-hitl: ") and says in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path / "file" / "hitl.db", "pending", "--json")
    error = json.loads(done.stdout)
    assert (done.returncode, error["code"]) == (2, "unavailable")
    assert f"{tmp_path}/file/hitl.db cannot be created" in error["message"]


def test_a_folder_in_place_of_a_database_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "pending")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_file_that_is_no_database_is_told_and_left_alone(database: Path) -> None:
    database.write_text("Dear diary, " * 100)
    done = run(database, "pending")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{database} cannot be " in done.stderr and "not a database" in done.stderr
    assert database.read_text() == "Dear diary, " * 100


@pytest.mark.parametrize("command", [("pending",), ()], ids=["pending", "stdio"])
def test_a_database_of_a_newer_version_is_left_alone(database: Path, command: tuple[str, ...]) -> None:
    run(database, "pending")
    with sqlite3.connect(database) as newer:
        newer.execute("PRAGMA user_version = 999")
    newer.close()
    done = run(database, *command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "mcp-hitl: The database belongs to a newer version of mcp-hitl. Update this program and start it again.\n"
    )


def test_a_server_on_another_address_than_this_machine_is_refused(database: Path) -> None:
    done = run(database, "serve", "--host", "0.0.0.0")
    assert done.returncode == 2 and "The host must be one of 127.0.0.1" in done.stderr


def test_a_port_that_is_taken_is_told(database: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(database, "serve", "--port", str(port))
    assert (done.returncode, done.stderr) == (
        2,
        f"mcp-hitl: Port {port} is taken by another program, so nothing is served. Choose another port with --port; 0 "
        "takes a free one.\n",
    )


def test_looking_loads_nothing_slow(database: Path) -> None:
    approval_id = ask(database)
    for command in (
        ("pending",),
        ("pending", "--json"),
        ("show", approval_id),
        ("show", approval_id, "--json"),
        ("doctor",),
    ):
        assert loaded_by("--db", str(database), *command) & SLOW == set()


def test_no_command_but_the_servers_loads_the_mcp_sdk(database: Path) -> None:
    approval_id = ask(database)
    for command in (
        ("approve", approval_id),
        ("approve", approval_id, "--yes"),
        ("reject", approval_id, "--reason", "no", "--yes"),
        ("lift", approval_id),
        ("edit", approval_id, "--set", "amount=1"),
        ("cancel", approval_id),
        ("pause", "--kind", "expense"),
        ("resume",),
        ("reconcile", approval_id, "--succeeded"),
        ("audit", "list"),
        ("audit", "verify"),
        ("audit", "erase", "--older-than", "1 day"),
        ("policy", "--help"),
        ("install", "claude-code", "--help"),
        ("--help",),
        ("--version",),
    ):
        assert loaded_by("--db", str(database), *command) & {"mcp", "mcp_types", "starlette", "uvicorn"} == set()
    assert "mcp" in loaded_by("--db", str(database))


def test_a_signal_wakes_the_event_loop_of_every_command() -> None:
    # Without it, one that comes just before the loop goes to sleep waits for whatever wakes it next.
    async def woken() -> int:
        descriptor = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(descriptor)
        return int(descriptor < 0)

    with pytest.raises(SystemExit) as ended:
        running.run(woken)
    assert ended.value.code == 0


def test_output_that_nobody_reads_is_no_crash(database: Path) -> None:
    ask(database)
    unread, pipe = os.pipe()
    os.close(unread)
    done = subprocess.run(
        launcher("--db", str(database), "pending"), stdout=pipe, stderr=subprocess.PIPE, text=True, env=environment()
    )
    os.close(pipe)
    assert done.returncode == 1 and "Traceback" not in done.stderr


ODD: dict[str, tuple[str, str]] = {
    "no input at all": ("{program} --db {folder}/hitl.db <&-", "Standard input is closed."),
    "nobody to ask": ("{program} --db {folder}/hitl.db lift {id} <&-", "A person has to decide this at a terminal"),
    "nobody's home": ("{program} --db '~nosuch/hitl.db' pending", "there is no such home folder"),
    "a folder that is gone": (
        "mkdir {folder}/x; cd {folder}/x; rmdir ../x; {program} --db a.db pending",
        "no longer exists",
    ),
    "no text": ("{program} --db {folder}/hitl.db pending --kind $(printf '\\377')", "not valid UTF-8"),
    "no reason": ("{program} --db {folder}/hitl.db reject {id} --reason ' '", "Give a reason with --reason"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_environment_is_told_in_a_sentence(tmp_path: Path, case: str) -> None:
    command, sentence = ODD[case]
    program = f"{sys.executable} -m mcp_hitl"
    done = subprocess.run(
        ["sh", "-c", command.format(program=program, folder=tmp_path, id="apr_" + "0" * 26)],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_without_a_home_folder_the_database_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_hitl.config.settings.default_database", lambda: Location("~/.local/share/hitl.db"))
    with pytest.raises(Invalid, match=r"no home folder for this user\. Name the database with --db or MCP_HITL_DB"):
        load({})


def test_the_collector_leaves_alone_what_a_server_has_loaded_when_it_starts() -> None:
    gc.unfreeze()
    try:
        with mock.patch.object(serve, "ApprovalServer"):
            serve._server(mock.Mock(), mock.Mock())  # pyright: ignore[reportPrivateUsage]
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
