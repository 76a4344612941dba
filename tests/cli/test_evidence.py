"""`audit`: what an auditor types, and what they learn where somebody was at the file."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from asked import AGENT, ask, look, lunch, on_desk
from terminal import at_terminal, run

from mcp_hitl.cli.os_user import os_user
from mcp_hitl.desk import Desk
from mcp_hitl.desk.timekeeping import system_clock

SECRET = "canary-0c7e"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database in which something was asked, cancelled, and asked again."""
    database = tmp_path / "hitl.db"

    async def happen(desk: Desk) -> None:
        asked = await desk.approvals.submit(os_user(), "action", {"note": SECRET})
        await desk.approvals.cancel(os_user(), asked.id, "Not needed")
        await desk.approvals.submit(AGENT, "expense", lunch())

    on_desk(database, happen, clock=lambda: system_clock() - timedelta(minutes=1))
    return database


def tampered(database: Path, statement: str) -> None:
    """Run a statement on the file past this program, its triggers and its checks."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        assert db.execute(statement).rowcount > 0


def head(database: Path) -> str:
    """The hash to keep elsewhere."""

    async def look_up(desk: Desk) -> str:
        return (await desk.evidence.head())[1]

    return on_desk(database, look_up)


def test_list_tells_every_entry_and_those_of_one_approval(database: Path) -> None:
    done = run(database, "audit", "list")
    me = os_user().id
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[2], line[5]) for line in lines] == [
        ("1", "opened", me),
        ("2", "cancelled", me),
        ("3", "opened", "os:agent"),
    ]
    one = run(database, "audit", "list", lines[2][3])
    assert one.stdout.splitlines() == done.stdout.splitlines()[2:]
    as_json = json.loads(run(database, "audit", "list", "--json").stdout)
    assert [entry["seq"] for entry in as_json] == [1, 2, 3]
    assert [entry["previous"] for entry in as_json[1:]] == [entry["hash"] for entry in as_json[:2]]
    assert SECRET not in json.dumps(as_json)
    unknown = run(database, "audit", "list", "apr_" + "0" * 26)
    assert (unknown.returncode, unknown.stdout) == (2, "")


def test_head_is_the_newest_entrys_hash(database: Path) -> None:
    entries = json.loads(run(database, "audit", "list", "--json").stdout)
    assert run(database, "audit", "head").stdout == f"3 {entries[-1]['hash']}\n"
    told = json.loads(run(database, "audit", "head", "--json").stdout)
    assert told == {"entries": 3, "head": entries[-1]["hash"]}


def test_verify_says_that_all_is_well_and_exits_with_0(database: Path) -> None:
    kept = head(database)
    ask(database, "action", {"n": 1})
    done = run(database, "audit", "verify", "--expect", kept)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"4 entries, unbroken. Head: {head(database)}\n"
    told = json.loads(run(database, "audit", "verify", "--json").stdout)
    assert told == {"entries": 4, "head": head(database), "wrong": None}


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("UPDATE audit SET actor = 'os:ceo' WHERE seq = 2", "entry 2 was changed"),
        ("DELETE FROM audit WHERE seq = 2", "entry 2 is missing"),
        ("UPDATE approvals SET status = 'approved' WHERE status = 'cancelled'", "the log says cancelled"),
        ("""UPDATE approvals SET payload = '{"note":"x"}' WHERE kind = 'action'""", "does not match its digest"),
    ],
    ids=["changed", "deleted", "status", "payload"],
)
def test_t35_verify_names_the_place_and_exits_with_1(database: Path, statement: str, wrong: str) -> None:
    tampered(database, statement)
    done = run(database, "audit", "verify")
    assert done.returncode == 1
    assert done.stdout.startswith("Broken: ") and wrong in done.stdout and done.stderr == ""


def test_t35_a_head_that_was_kept_finds_a_cut_tail_and_another_file(database: Path, tmp_path: Path) -> None:
    kept = head(database)
    other = tmp_path / "other.db"
    ask(other)
    for file, statement in ((database, "DELETE FROM audit WHERE seq = 3"), (other, None)):
        if statement:
            tampered(file, statement)
        done = run(file, "audit", "verify", "--expect", kept)
        assert done.returncode == 1
        assert "its end was cut off, or this is another database" in done.stdout
    told = run(other, "audit", "verify", "--expect", kept, "--json")
    assert (told.returncode, "another database" in json.loads(told.stdout)["wrong"]) == (1, True)


def test_an_export_verifies_by_itself_and_is_written_once(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    done = run(database, "audit", "export", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert f"3 entries written to {file}." in done.stderr
    kept = head(database)
    text = file.read_text()
    again = run(database, "audit", "export", str(file))
    assert again.returncode == 2 and "Name a file that does not exist yet" in again.stderr
    assert file.read_text() == text and SECRET in text
    verified = run(tmp_path / "nobodys.db", "audit", "verify", str(file), "--expect", kept)
    assert (verified.returncode, verified.stdout) == (0, f"3 entries, unbroken. Head: {kept}\n")
    assert not (tmp_path / "nobodys.db").exists()


def test_t36_a_redacted_export_holds_no_content_and_verifies(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    assert run(database, "audit", "export", str(file), "--redact").returncode == 0
    assert SECRET not in file.read_text() and "Not needed" not in file.read_text()
    assert run(None, "audit", "verify", str(file), "--expect", head(database)).returncode == 0


CHANGES: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "an actor": (lambda lines: [lines[0], lines[1].replace(os_user().id, "os:ceo"), *lines[2:]], "line 2: entry 1"),
    "a content": (lambda lines: [line.replace(SECRET, "x") for line in lines], "does not match its digest"),
    "a line": (lambda lines: [lines[0], *lines[2:]], "entry 1 is missing"),
    "the tail": (lambda lines: lines[:-2], "its end was cut off"),
    "the header": (lambda lines: lines[1:], "the first line does not say"),
    "everything": (lambda _: ["Dear diary"], "the first line does not say"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_t35_a_changed_export_is_broken_and_located(database: Path, tmp_path: Path, what: str) -> None:
    file = tmp_path / "audit.jsonl"
    run(database, "audit", "export", str(file))
    change, wrong = CHANGES[what]
    lines = file.read_text().splitlines()
    file.write_text("\n".join(change(lines)) + "\n")
    done = run(None, "audit", "verify", str(file), "--expect", head(database))
    assert done.returncode == 1
    assert done.stdout.startswith("Broken: ") and wrong in done.stdout and done.stderr == ""


def test_a_file_that_is_not_there_cannot_be_verified(tmp_path: Path) -> None:
    done = run(None, "audit", "verify", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (2, "") and "cannot be read" in done.stderr


def test_erasing_asks_a_person_and_leaves_a_log_that_verifies(database: Path, tmp_path: Path) -> None:
    kept = head(database)
    [cancelled, _] = json.loads(run(database, "audit", "list", "--json").stdout)[1:]
    alone = run(database, "audit", "erase", "--older-than", "PT0S")
    assert alone.returncode == 2
    for typed, code in (("n", 1), ("y", 0)):
        assert look(database, cancelled["approval"]).payload == {"note": SECRET}
        with at_terminal(database, "audit", "erase", "--older-than", "1 second") as person:
            person.answer("cannot be undone. [y/N]: ", typed)
            assert person.finish() == code
    assert person.shown.endswith("1 approvals erased.\n")
    assert look(database, cancelled["approval"]).erased_at is not None
    assert run(database, "audit", "verify", "--expect", kept).returncode == 0
    file = tmp_path / "audit.jsonl"
    run(database, "audit", "export", str(file))
    assert SECRET not in file.read_text() and SECRET not in run(database, "show", cancelled["approval"]).stdout


@pytest.mark.parametrize("length", ["-1 day", "365"])
def test_a_length_that_is_none_erases_nothing(database: Path, length: str) -> None:
    with at_terminal(database, "audit", "erase", "--older-than", length) as person:
        assert person.finish() == 2
    assert "--older-than" in person.shown and "cannot be undone" not in person.shown


def test_the_trail_of_one_approval_as_json_is_what_the_tool_returns(database: Path) -> None:
    approval_id = ask(database)
    trail = json.loads(run(database, "audit", "list", approval_id, "--json").stdout)
    assert trail["verified"] is True
    assert [entry["event"] for entry in trail["entries"]] == ["opened", "asked-again"]
