"""`doctor` as a process: what it prints and changes not, its exit codes, and that its commands run as printed."""

import json
import os
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import click
import httpx2
import pytest
from asked import ask, ask_all, on_desk
from cli.test_t25_deceptive_text import EVERYTHING, deceptive
from inboxes import inbox_at
from samples import SAFE
from terminal import run, terminal
from warm import warm
from wires import environment, http_server

from mcp_hitl.config import Location, Settings
from mcp_hitl.desk import Desk
from mcp_hitl.desk.timekeeping import system_clock
from mcp_hitl.doctor import file_rights
from mcp_hitl.doctor.file_rights import shared_type
from mcp_hitl.doctor.report import BEYOND
from mcp_hitl.domain.approvals.approval import Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.clients import Client, Transport
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.store.sqlite import SqliteStore

BO = Principal("os:bo", Established.OS_USER)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet, in a folder that a shell would take apart unless it is quoted."""
    folder = tmp_path / "it's $HOME"
    folder.mkdir(mode=0o700)
    return folder / "hitl.db"


def doctor(database: Path, *arguments: str, code: int = 1, **options: Any) -> dict[str, Any]:
    """What `doctor --json` says, and its findings by code."""
    done = run(database, *arguments, "doctor", "--json", **options)
    assert done.returncode == code, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said | {"by_code": {finding["code"]: finding for finding in said["findings"]}}


def met(database: Path, client: Client) -> None:
    """Let a client have connected."""

    async def meet(desk: Desk) -> None:
        await desk.meet(client)

    on_desk(database, meet)


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mode, path.read_bytes()) for path in folder.iterdir()}


def test_a_database_that_is_not_there_is_not_made(database: Path) -> None:
    said = doctor(database)
    assert "no-database" in said["by_code"] and said["clients"] == [] and said["unsafe"] == 1
    assert list(database.parent.iterdir()) == []


def test_nothing_is_changed_by_looking(database: Path) -> None:
    ask(database)
    database.chmod(0o644)
    before = state(database.parent)
    assert "database-readable" in doctor(database)["by_code"]
    assert state(database.parent) == before


@pytest.mark.parametrize(
    ("content", "says"),
    [("Dear diary, " * 100, "not a database"), ("", "not a database of mcp-hitl")],
    ids=["text", "empty"],
)
def test_a_database_that_cannot_be_read_is_told_and_the_rest_all_the_same(
    database: Path, content: str, says: str
) -> None:
    database.write_text(content)
    said = doctor(database)
    assert says in said["by_code"]["database-unusable"]["what"] and "shared-account" in said["by_code"]
    assert database.read_text() == content


def test_a_path_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    assert "cannot be reached" in doctor(tmp_path / ("x" * 300))["by_code"]["database-unusable"]["what"]


def test_a_folder_in_place_of_a_database_is_told(tmp_path: Path) -> None:
    assert "database-unusable" in doctor(tmp_path)["by_code"]


def test_where_nothing_is_unsafe_it_exits_with_0(database: Path) -> None:
    policy = database.with_name("policy.toml")
    policy.write_text(SAFE)
    policy.chmod(0o600)
    said = doctor(database, "--config", str(policy), code=0)
    assert said["unsafe"] == 0 and said["profile"] == "team" and said["policy"] == str(policy)
    done = run(database, "--config", str(policy), "doctor")
    assert (
        done.returncode == 0
        and "Nothing unsafe was found in the settings." in done.stdout
        and "\nUnsafe" not in done.stdout
    )
    assert BEYOND in " ".join(done.stdout.split()) and said["beyond"] == BEYOND


def test_what_somebody_accepts_is_told_and_counts_no_more(database: Path) -> None:
    said = doctor(database, code=1)
    assert [one["code"] for one in said["findings"] if one["severity"] == "unsafe"] == ["shared-account"]
    done = run(database, "doctor", "--accept", "shared-account")
    assert done.returncode == 0 and "\nAccepted\n" in done.stdout and "[shared-account]" in done.stdout
    assert run(database, "doctor", "--accept", "another-one").returncode == 1


def test_where_the_inbox_is_and_who_is_signed_in_is_noted_and_the_line_signs_all_of_them_out(database: Path) -> None:
    ask(database)

    async def sign_in(desk: Desk) -> tuple[str, datetime]:
        sessions = [(await desk.inbox.sign_in(await desk.inbox.offer_link(BO))).session for _ in range(2)]
        return await desk.inbox.offer_link(BO), sessions[-1].until

    def told() -> dict[str, Any]:
        return doctor(database)["by_code"]["inbox"]

    assert told()["what"] == "The inbox is not running. No browser is signed in." and told()["mend"] == []
    with http_server(database):
        address = inbox_at(database)
        code, until = on_desk(database, sign_in)
        wanted = f"The inbox is at {address}. 2 browsers are signed in; the last session ends {rfc3339(until)}."
        while "is at" not in (found := told())["what"]:  # nothing tells when a server has recorded where it is
            pass
        assert found["what"] == wanted and found["severity"] == "note"
        [mend] = found["mend"]
        done = subprocess.run(["sh", "-c", mend["line"]], capture_output=True, text=True, env=environment())
        assert (done.returncode, done.stdout) == (0, "2 sessions ended.\n")
        assert told()["what"] == f"The inbox is at {address}. No browser is signed in."
        answer = httpx2.post(f"{address}/sign-in", data={"code": code}, headers={"origin": address})
        assert answer.status_code == 403
    assert "The inbox is not running." in told()["what"]
    log = json.loads(run(database, "audit", "list", "--json").stdout)
    assert [entry["event"] for entry in log].count("signed-out") == 3, "of two sessions and of a link"
    assert run(database, "audit", "verify").returncode == 0
    assert run(database, "inbox", "--sign-out", "--print").returncode == 2


def test_a_setting_that_cannot_be_followed_is_refused_as_everywhere(database: Path) -> None:
    done = run(database, "doctor", variables={"MCP_HITL_KEY": "short"})
    assert (done.returncode, done.stdout) == (2, "") and "at least 32 bytes" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX thing")
@pytest.mark.parametrize(
    ("name", "mode", "code"),
    [
        ("hitl.db", 0o604, "database-readable"),
        ("hitl.db", 0o602, "database-writable"),
        ("hitl.db.key", 0o604, "key-readable"),
        ("hitl.db.key", 0o606, "key-writable"),
        ("policy.toml", 0o602, "policy-writable"),
        (".", 0o703, "folder-writable"),
        (".", 0o1777, "folder-writable"),
    ],
)
def test_t17_rights_of_others_are_found_and_the_command_mends_them(
    database: Path, name: str, mode: int, code: str
) -> None:
    policy = database.with_name("policy.toml")
    policy.write_text('profile = "solo"\n')
    database.with_name("hitl.db.key").write_bytes(b"k" * 32)
    ask(database)
    for path in (policy, database.with_name("hitl.db.key"), database):
        path.chmod(0o600)
    rights = {"database-readable", "key-readable"} | {
        f"{one}-writable" for one in ("database", "key", "policy", "folder")
    }
    assert rights & doctor(database, "--config", str(policy))["by_code"].keys() == set()
    changed = database.parent / name
    changed.chmod(mode)
    found = doctor(database, "--config", str(policy))["by_code"]
    assert rights & found.keys() == {code}
    subprocess.run(["sh", "-c", found[code]["mend"][0]["line"]], check=True)
    assert rights & doctor(database, "--config", str(policy))["by_code"].keys() == set()


def test_the_key_from_the_environment_is_noted(database: Path) -> None:
    assert "key-in-environment" not in doctor(database)["by_code"]
    found = doctor(database, variables={"MCP_HITL_KEY": "k" * 32})["by_code"]["key-in-environment"]
    assert found["severity"] == "note" and found["mend"][0]["line"] == "unset MCP_HITL_KEY"


def test_what_a_person_has_to_settle_is_found_and_its_commands_run_as_printed(database: Path, tmp_path: Path) -> None:
    first, second = ask_all(
        database, [("action", {"n": 1}), ("expense", {"amount": 1, "currency": "EUR", "description": "x"})]
    )

    async def trouble(desk: Desk) -> None:
        await desk.stops.pause(BO, "expense")

    async def nothing(desk: Desk) -> None:
        await desk.stops.resume(BO, "other")

    def shell(code: str) -> list[str]:
        return ["sh", "-c", f"cd {tmp_path} && {found[code]['mend'][0]['line']}"]

    on_desk(database, trouble)
    with closing(sqlite3.connect(database)) as db:
        db.execute("UPDATE approvals SET kind = 'gone' WHERE id = ?", (second.id,))
        db.commit()
    leave_unknown(database, first.id)
    ahead = system_clock() + timedelta(days=400)
    on_desk(database, nothing, clock=lambda: ahead)
    found = doctor(database)["by_code"]
    assert {"clock-ran-ahead", "stopped", "outcome-unknown", "unknown-kinds", "anchor"} <= found.keys()
    assert "by os:bo." in found["stopped"]["what"] and "gone (1)" in found["unknown-kinds"]["what"]
    with terminal(shell("clock-ran-ahead")) as person:
        person.answer("are treated as wrong. [y/N]: ", "y")
        assert person.finish() == 0
    with terminal(shell("stopped")) as person:
        person.answer("Resume the kind expense? [y/N]: ", "y")
        assert person.finish() == 0
    with terminal(shell("outcome-unknown")) as person:
        person.answer("Record that this succeeded? You cannot change it later. [y/N]: ", "y")
        assert person.finish() == 0
    done = subprocess.run(shell("anchor"), capture_output=True, text=True, env=environment(), check=True)
    assert "sha256:" in done.stdout
    assert {"clock-ran-ahead", "stopped", "outcome-unknown"} & doctor(database)["by_code"].keys() == set()


def leave_unknown(database: Path, approval_id: str) -> None:
    """Bring an approval to where nobody knows how it went."""

    async def work() -> None:
        store = SqliteStore(database)
        await store.write(lambda tx: tx.approvals.resolve(approval_id, Status.APPROVED, system_clock()))
        await store.write(lambda tx: tx.approvals.set_outcome(approval_id, Outcome(OutcomeState.UNKNOWN)))
        await store.close()

    anyio.run(work)


def test_the_policy_that_governs_has_to_be_named(database: Path) -> None:
    policy = database.with_name("policy.toml")
    policy.write_text(SAFE)
    policy.chmod(0o600)
    run(database, "--config", str(policy), "pending")
    assert "another-policy" in doctor(database)["by_code"]
    assert "another-policy" not in doctor(database, "--config", str(policy), code=0)["by_code"]


def test_t25_a_client_that_deceives_the_eye_is_shown_with_escapes(database: Path) -> None:
    client = Client(
        EVERYTHING, "1", "2025-11-25", Transport.STDIO, forms=True, url=False
    )  # as if it had not been cleaned
    met(database, client)
    done = run(database, "doctor", columns=80)
    assert "shows forms: `approve`" in done.stdout and "\\u001b[8mhidden" in done.stdout
    assert deceptive(done.stdout) == set()
    said = doctor(database)["clients"]
    assert [(one["protocol"], one["transport"], one["asks"]) for one in said] == [("2025-11-25", "stdio", ["forms"])]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_sentences_fit_the_terminal_and_lines_to_copy_stay_whole(database: Path, columns: int) -> None:
    met(database, Client.told("x", "1", "2025-11-25", Transport.HTTP, forms=False, url=False))
    said = doctor(database)
    # A runner of tests may set the variable, which goes before what the terminal says.
    variables = {"COLUMNS": str(columns)}
    with terminal(warm("--db", str(database), "doctor"), columns=columns, variables=variables) as person:
        assert person.finish() == 1
    shown = click.unstyle(person.shown)
    whole = {line for one in said["findings"] for mend in one["mend"] for line in mend["line"].splitlines()}
    assert whole and whole <= {line.strip() for line in shown.splitlines()}
    width = min(columns, 100)
    for line in shown.splitlines():
        assert len(line) <= width or line.strip() in whole or str(database) in line, line


MOUNTS = """\
overlay / overlay rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sda1 /home/local\\040disk ext4 rw 0 0
host /homes fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/hitl.db", None),
        ("/home/ana/hitl.db", "nfs4"),
        ("/home/local disk/hitl.db", None),
        ("/homes/hitl.db", "fuse.sshfs"),
        ("/homestead/hitl.db", None),
    ],
)
def test_a_file_system_that_machines_share_is_known_by_its_mount(path: str, kind: str | None) -> None:
    assert shared_type(MOUNTS, path) == kind


@pytest.mark.skipif(os.name != "posix", reason="groups are a POSIX thing")
@pytest.mark.parametrize("alone", [True, False], ids=["our own group", "a shared group"])
def test_a_group_that_is_our_account_alone_is_not_others(
    database: Path, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    def own(gid: int) -> bool:
        return alone

    database.touch(0o660)
    database.chmod(0o660)
    monkeypatch.setattr(file_rights, "_own_group", own)
    [access] = [
        one
        for one in file_rights.storage(Settings(Location(str(database))), "ana").accesses
        if one.path == os.path.realpath(database)
    ]
    assert (access.ours, access.trusted, access.read, access.write) == (True, True, not alone, not alone)


@pytest.mark.skipif(sys.platform != "linux", reason="access lists are read on Linux alone")
def test_t17_an_account_that_only_an_access_list_names_is_found_and_the_command_mends_it(database: Path) -> None:
    """The mode looks as if a group of our own could write."""
    policy = database.with_name("policy.toml")
    policy.write_text('profile = "solo"\n')
    policy.chmod(0o600)
    entries = [(1, 6, -1), (2, 6, 65534), (4, 0, -1), (16, 6, -1), (32, 0, -1)]  # we and nobody may read and write
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(policy, "system.posix_acl_access", listed)
    except OSError:
        pytest.skip("this file system has no access lists")

    def found() -> list[str]:
        told = json.loads(run(database, "--config", str(policy), "doctor", "--json").stdout)
        return [one["code"] for one in told["findings"] if one["code"] == "policy-writable"]

    assert found() == ["policy-writable"]
    policy.chmod(policy.stat().st_mode & ~0o022)
    assert found() == []
