"""Deciding at a real terminal: shown everything, then asked."""

import json
import os
import pwd
import signal
from pathlib import Path

import pytest
from asked import AGENT, ask, look, lunch
from terminal import END_OF_INPUT, at_terminal, run, terminal
from wires import launcher

from mcp_hitl.cli.os_user import os_user
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.policy.policy import Assurance, Verdict

ASKED = "Approve this? [y/N]: "


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


def test_approve_shows_the_whole_request_then_asks_then_records_who(database: Path) -> None:
    approval_id = ask(database, "action", {"account": "DE02 1203", "deep": {"amounts": [1, 2.5]}}, claim="Pay the rent")
    with at_terminal(database, "approve", approval_id, "--comment", "Fine by me.") as person:
        shown = person.answer(ASKED, "y")
        assert person.finish() == 0
    for fact in ("action", "Pay the rent", "os:agent", approval_id, '"account": "DE02 1203"', "2.5", "may be wrong"):
        assert fact in shown
    assert person.shown.endswith(f"{approval_id} is approved: Pay the rent\n")
    approval = look(database, approval_id)
    [decision] = approval.decisions
    assert approval.status is Status.APPROVED
    assert (decision.approver, decision.verdict) == (f"os:{pwd.getpwuid(os.getuid()).pw_name}", Verdict.APPROVE)
    assert (decision.assurance, decision.comment) == (Assurance.LOCAL, "Fine by me.")


@pytest.mark.parametrize("typed", ["n\n", "\n", "maybe\n", "yess\n", "yy\n", "approve\n", END_OF_INPUT])
def test_anything_but_yes_leaves_it_pending(database: Path, typed: str) -> None:
    approval_id = ask(database)
    with at_terminal(database, "approve", approval_id) as person:
        person.until(ASKED)
        person.type(typed)
        assert person.finish() == 1
    approval = look(database, approval_id)
    assert (approval.status, approval.decisions) == (Status.PENDING, ())


def test_an_interrupt_at_the_question_leaves_it_pending(database: Path) -> None:
    approval_id = ask(database)
    with at_terminal(database, "approve", approval_id) as person:
        person.until(ASKED)
        person.until_it_reads()
        person.process.send_signal(signal.SIGINT)
        assert person.finish() == 1
    assert "Traceback" not in person.shown
    assert look(database, approval_id).status is Status.PENDING


def test_reject_asks_too_and_keeps_the_reason(database: Path) -> None:
    approval_id = ask(database)
    with at_terminal(database, "reject", approval_id, "--reason", "Too expensive") as person:
        shown = person.answer("Reject this? [y/N]: ", "y")
        assert person.finish() == 0
    assert '"amount": 50' in shown
    approval = look(database, approval_id)
    assert (approval.status, approval.decisions[0].comment) == (Status.REJECTED, "Too expensive")
    assert "“Too expensive”" in run(database, "show", approval_id).stdout


def test_reject_needs_a_reason(database: Path) -> None:
    approval_id = ask(database)
    with at_terminal(database, "reject", approval_id) as person:
        assert person.finish() == 2
    assert "--reason" in person.shown


def test_a_comment_that_is_too_long_is_refused_before_anything_is_asked(database: Path) -> None:
    approval_id = ask(database)
    with at_terminal(database, "approve", approval_id, "--comment", "x" * 2_001) as person:
        assert person.finish() == 2
    assert "at most 2,000 characters" in person.shown and ASKED not in person.shown


def test_what_is_already_decided_is_refused_naming_who_was_first(database: Path) -> None:
    approval_id = ask(database)
    with (
        at_terminal(database, "approve", approval_id) as first,
        at_terminal(database, "approve", approval_id) as second,
    ):
        first.until(ASKED)
        second.until(ASKED)
        first.enter("y")
        assert first.finish() == 0
        second.enter("y")
        assert second.finish() == 2
    for late in (second.shown, run(database, "reject", approval_id, "--reason", "no").stderr):
        assert f"{approval_id} was approved by {os_user().id} at " in late
    assert len(look(database, approval_id).decisions) == 1


def test_cancel_ends_the_requesters_own_request_and_no_other(database: Path) -> None:
    own, others = ask(database, requester=os_user()), ask(database, payload=lunch(amount=51), requester=AGENT)
    done = run(database, "cancel", own, "--reason", "Not hungry", "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "cancelled")
    refused = run(database, "cancel", others, "--json")
    assert (refused.returncode, json.loads(refused.stdout)["code"]) == (2, "not_allowed")
    assert look(database, others).status is Status.PENDING


def test_lift_lets_a_rejected_request_be_asked_again(database: Path) -> None:
    rejected = ask(database)
    with at_terminal(database, "reject", rejected, "--reason", "Not today") as person:
        person.answer("Reject this? [y/N]: ", "y")
        assert person.finish() == 0
    assert ask(database) == rejected
    with at_terminal(database, "lift", rejected) as person:
        shown = person.answer("Allow this to be requested again now? [y/N]: ", "n")
        assert person.finish() == 1
    assert '"description": "Lunch"' in shown and ask(database) == rejected
    with at_terminal(database, "lift", rejected) as person:
        person.answer("Allow this to be requested again now? [y/N]: ", "y")
        assert person.finish() == 0
    assert ask(database) != rejected


def test_json_prints_the_decided_approval_apart_from_what_the_person_reads(database: Path, tmp_path: Path) -> None:
    approval_id = ask(database)
    printed = tmp_path / "printed.json"
    command = ["sh", "-c", 'exec "$@" > "$0"', str(printed), *launcher("--db", str(database))]
    with terminal([*command, "approve", approval_id, "--json"]) as person:
        person.answer(ASKED, "y")
        assert person.finish() == 0
    assert json.loads(printed.read_text())["status"] == "approved"
    assert '"status"' not in person.shown


@pytest.mark.parametrize(
    "decision", [("approve",), ("reject", "--reason", "no"), ("lift",)], ids=["approve", "reject", "lift"]
)
def test_t16_without_a_terminal_nobody_decides(database: Path, decision: tuple[str, ...]) -> None:
    approval_id = ask(database)
    command, *options = decision
    done = run(database, command, approval_id, *options, "--json")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (2, "needs_person")
    assert look(database, approval_id).status is Status.PENDING


def test_t16_answers_in_a_pipe_are_not_a_person(database: Path) -> None:
    approval_id = ask(database)
    with terminal(
        ["sh", "-c", 'echo y | "$0" "$@"', *launcher("--db", str(database)), "approve", approval_id]
    ) as shell:
        assert shell.finish() == 2
    assert "there is none here" in shell.shown
    assert look(database, approval_id).status is Status.PENDING


@pytest.mark.parametrize("decision", [("approve",), ("reject", "--reason", "no")], ids=["approve", "reject"])
def test_t17_yes_decides_nothing_where_the_policy_wants_a_person(database: Path, decision: tuple[str, ...]) -> None:
    approval_id = ask(database)
    command, *options = decision
    done = run(database, command, approval_id, *options, "--yes", "--json")
    error = json.loads(done.stdout)
    assert (done.returncode, error["code"]) == (2, "not_allowed")
    assert "unattended = false" in error["message"]
    approval = look(database, approval_id)
    assert (approval.status, approval.decisions) == (Status.PENDING, ())


def test_t17_the_environment_does_not_say_who_decides(database: Path) -> None:
    approval_id = ask(database)
    lies = {"LOGNAME": "ceo", "USER": "ceo", "USERNAME": "ceo", "LNAME": "ceo", "HOME": "/home/ceo"}
    with terminal(launcher("--db", str(database), "approve", approval_id), variables=lies) as person:
        person.answer(ASKED, "y")
        assert person.finish() == 0
    [decision] = look(database, approval_id).decisions
    assert decision.approver == f"os:{pwd.getpwuid(os.getuid()).pw_name}"


def test_t26_a_long_payload_is_shown_whole_before_the_question(database: Path) -> None:
    payload = {f"field_{number:04}": f"value {number} " + "x" * 40 for number in range(900)}
    payload["zz_at_the_very_end"] = "send everything to mallory"
    approval_id = ask(database, "action", payload)
    with at_terminal(database, "approve", approval_id) as person:
        shown = person.answer(ASKED, "n")
        person.finish()
    assert all(f'"{name}": "{value}"' in shown for name, value in payload.items())
    assert "characters, all shown)" in shown
