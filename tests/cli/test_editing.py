"""`edit` at a real terminal: the difference and the whole, then the question."""

import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from asked import ask, look, lunch
from terminal import END_OF_INPUT, Terminal, at_terminal, run, terminal
from warm import warm

from mcp_hitl.cli.os_user import os_user
from mcp_hitl.domain.approvals.approval import Status

QUESTION = "Make this change? [y/N]: "


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


def with_editor(database: Path, tmp_path: Path, script: str, *arguments: str) -> AbstractContextManager[Terminal]:
    """`mcp-hitl` at a terminal of somebody whose editor is a shell script; `$1` is the file that it opens."""
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o755)
    variables: Mapping[str, str] = {"EDITOR": str(editor), "VISUAL": str(editor)}
    return terminal(warm("--db", str(database), *arguments), variables=variables)


def is_untouched(database: Path, approval_id: str) -> bool:
    """Whether nobody has edited it."""
    approval = look(database, approval_id)
    return (approval.revision, approval.payload, approval.edits) == (1, lunch(), ())


def test_set_changes_fields_after_showing_the_difference_and_the_whole(database: Path) -> None:
    approval_id = ask(database)
    options = ("--set", "amount=45.5", "--set", "description=Lunch for two", "--comment", "As the receipt says.")
    with at_terminal(database, "edit", approval_id, *options) as person:
        shown = person.answer(QUESTION, "y")
        assert person.finish() == 0
    before, _, change = shown.partition("Your change:")
    assert '"amount": 50' in before and approval_id in before and "os:agent" in before
    assert '    amount\n      before: 50\n      after:  45.5\n    description\n      before: "Lunch"\n' in change
    then = change.partition("All of it, as it would be then:")[2]
    assert all(line in then for line in ('"amount": 45.5', '"currency": "USD"', '"description": "Lunch for two"'))
    assert person.shown.endswith(f"{approval_id} is pending: Expense: 45.50 USD for Lunch for two\n")
    approval = look(database, approval_id)
    [edit] = approval.edits
    assert (approval.status, approval.revision) == (Status.PENDING, 2)
    assert approval.payload == lunch(amount=45.5, description="Lunch for two")
    assert (edit.editor, edit.comment) == (os_user().id, "As the receipt says.")
    trail = run(database, "audit", "list", approval_id).stdout
    assert f" edited {approval_id} by {os_user().id} (assurance local)\n" in trail


def test_a_file_gives_the_whole_payload(database: Path, tmp_path: Path) -> None:
    approval_id = ask(database)
    file = tmp_path / "payload.json"
    file.write_text(json.dumps(lunch(amount=20, currency="EUR")))
    with at_terminal(database, "edit", approval_id, "--payload", str(file), "--set", "category=food") as person:
        person.answer(QUESTION, "y")
        assert person.finish() == 0
    assert look(database, approval_id).payload == lunch(amount=20, currency="EUR", category="food")


def test_without_options_the_editor_opens_the_payload(database: Path, tmp_path: Path) -> None:
    approval_id = ask(database)
    script = 'cp "$1" seen.json && sed -i.old "s/50/40/" "$1" && touch -d 2001-01-01 "$1"'
    with with_editor(database, tmp_path, f"cd '{tmp_path}' && {script}", "edit", approval_id) as person:
        shown = person.answer(QUESTION, "y")
        assert person.finish() == 0
    assert json.loads((tmp_path / "seen.json").read_text()) == lunch()
    assert "amount\n      before: 50\n      after:  40" in shown
    assert look(database, approval_id).payload == lunch(amount=40)


def test_an_editor_that_is_left_without_saving_changes_nothing(database: Path, tmp_path: Path) -> None:
    approval_id = ask(database)
    with with_editor(database, tmp_path, "exit 0", "edit", approval_id) as person:
        assert person.finish() == 1
    assert "Nothing was changed." in person.shown and QUESTION not in person.shown
    assert is_untouched(database, approval_id)


@pytest.mark.parametrize("typed", ["sure\n", END_OF_INPUT], ids=["sure", "end of input"])
def test_anything_but_yes_changes_nothing(database: Path, typed: str) -> None:
    approval_id = ask(database)
    with at_terminal(database, "edit", approval_id, "--set", "amount=1") as person:
        person.until(QUESTION)
        person.type(typed)
        assert person.finish() == 1
    assert is_untouched(database, approval_id)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--set", "amount=many"), "amount"),
        (("--set", "amount=0.001"), "amount"),
        (("--set", "approved=true"), "a field that is not allowed here"),
        (("--set", "amount"), "FIELD=VALUE"),
        (("--set", "amount=50"), "nothing to edit"),
        (("--set", "amount=1", "--comment", "x" * 2_001), "at most 2,000 characters"),
    ],
    ids=["text", "decimals", "unknown field", "no value", "no change", "long comment"],
)
def test_what_does_not_fit_is_refused_before_anything_is_asked(
    database: Path, options: tuple[str, ...], says: str
) -> None:
    approval_id = ask(database)
    with at_terminal(database, "edit", approval_id, *options) as person:
        assert person.finish() == 2
    assert says in person.shown and QUESTION not in person.shown and "Traceback" not in person.shown
    assert is_untouched(database, approval_id)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--set", "amount=5000000", "--set", "amount=5"), "twice"),
        (("--set", 'description={"a": 1, "a": 2}'), "has 'a' twice in one object"),
    ],
)
def test_t03_what_is_given_twice_is_refused(database: Path, options: tuple[str, ...], says: str) -> None:
    approval_id = ask(database)
    with at_terminal(database, "edit", approval_id, *options) as person:
        assert person.finish() == 2
    assert says in person.shown and QUESTION not in person.shown
    assert is_untouched(database, approval_id)


@pytest.mark.parametrize("text", ["[]", '{"amount": 1, "amount": 2}', "\xff"])
def test_a_file_that_is_no_payload_is_refused(database: Path, tmp_path: Path, text: str) -> None:
    approval_id = ask(database)
    file = tmp_path / "payload.json"
    file.write_bytes(text.encode("latin-1"))
    with at_terminal(database, "edit", approval_id, "--payload", str(file)) as person:
        assert person.finish() == 2
    assert QUESTION not in person.shown and "Traceback" not in person.shown
    assert is_untouched(database, approval_id)


def test_t16_without_a_terminal_nobody_edits(database: Path) -> None:
    approval_id = ask(database)
    done = run(database, "edit", approval_id, "--set", "amount=1", "--json")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (2, "needs_person")
    assert is_untouched(database, approval_id)


def test_t07_of_two_who_edit_at_once_the_second_is_told_and_a_decision_on_the_old_one_is_refused(
    database: Path,
) -> None:
    approval_id = ask(database)
    with (
        at_terminal(database, "edit", approval_id, "--set", "amount=1") as first,
        at_terminal(database, "edit", approval_id, "--set", "amount=2") as second,
        at_terminal(database, "approve", approval_id) as approver,
    ):
        first.until(QUESTION)
        second.until(QUESTION)
        approver.until("Approve this? [y/N]: ")
        first.enter("y")
        assert first.finish() == 0
        second.enter("y")
        approver.enter("y")
        assert (second.finish(), approver.finish()) == (2, 2)
    for late in (second, approver):
        assert "was edited after this was shown" in late.shown
    approval = look(database, approval_id)
    assert (approval.status, approval.payload["amount"], approval.decisions) == (Status.PENDING, 1, ())


def test_what_is_resolved_cannot_be_edited(database: Path) -> None:
    approval_id = ask(database, requester=os_user())
    assert run(database, "cancel", approval_id).returncode == 0
    with at_terminal(database, "edit", approval_id, "--set", "amount=1") as person:
        assert person.finish() == 2
    assert f"{approval_id} was cancelled at " in person.shown and os.linesep + "Your change" not in person.shown
