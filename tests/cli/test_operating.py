"""`pause`, `resume` and `reconcile`: the emergency stop, and an outcome that nobody could tell."""

import json
from pathlib import Path

import pytest
from asked import AGENT, ask, look, on_desk
from terminal import at_terminal, run

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState, Status

ASKED = "Approve this? [y/N]: "


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


def approve(database: Path, approval_id: str) -> int:
    """A person approves; the exit code."""
    with at_terminal(database, "approve", approval_id) as person:
        person.answer(ASKED, "y")
        return person.finish()


def redeemed(database: Path) -> str:
    """An action that its requester has redeemed and never reported on; its id."""
    approval_id = ask(database, "action", {"send": "it"}, claim="Send it")
    assert approve(database, approval_id) == 0

    async def redeem(desk: Desk) -> Approval:
        return await desk.approvals.redeem(AGENT, approval_id, look_digest)

    look_digest = look(database, approval_id).digest
    assert on_desk(database, redeem).outcome.state is OutcomeState.RUNNING
    return approval_id


def test_t15_pause_stops_decisions_until_a_person_resumes(database: Path) -> None:
    approval_id = ask(database)
    done = run(database, "pause")
    assert (done.returncode, done.stdout) == (0, "Everything is stopped.\n")
    assert run(database, "pause").stdout == "Everything was already stopped.\n"
    assert approve(database, approval_id) == 2
    assert look(database, approval_id).status is Status.PENDING
    alone = run(database, "resume")
    assert alone.returncode == 2 and "A person has to" in alone.stderr
    for typed, code, says in (
        ("n", 1, "Nothing was changed."),
        ("y", 0, "Resumed."),
        ("y", 0, "It was not paused"),
    ):
        with at_terminal(database, "resume") as person:
            person.answer("Resume everything? [y/N]: ", typed)
            assert person.finish() == code
        assert says in person.shown
    assert approve(database, approval_id) == 0
    events = [entry["event"] for entry in json.loads(run(database, "audit", "list", "--json").stdout)]
    assert events == ["opened", "paused", "resumed", "decided", "approved"]


def test_t15_one_kind_can_be_stopped_alone(database: Path) -> None:
    expense, action = ask(database), ask(database, "action", {"n": 1})
    assert run(database, "pause", "--kind", "expense").stdout == "The kind expense is stopped.\n"
    assert (approve(database, expense), approve(database, action)) == (2, 0)
    with at_terminal(database, "resume", "--kind", "expense") as person:
        person.answer("Resume the kind expense? [y/N]: ", "y")
        assert person.finish() == 0
    assert approve(database, expense) == 0


def test_t15_whoever_resumes_is_told_what_is_still_stopped_and_how_to_let_it_go_on(database: Path) -> None:
    def resumes(*words: str) -> str:
        with at_terminal(database, "resume", *words) as person:
            person.answer("? [y/N]: ", "y")
            assert person.finish() == 0
        return " ".join(person.shown.partition("[y/N]:")[2].split())

    kinds, everything = ("--kind", "expense"), "Everything is still stopped. To resume: "
    run(database, "pause", *kinds)
    for told in ("That was not paused. Paused:", "Resumed. Still paused:"):
        shown = resumes()
        assert told in shown
        assert "The kind expense is still stopped. To resume: " in shown
        assert shown.endswith("resume --kind expense")
        run(database, "pause")
    run(database, "pause", "--kind", "action")
    for told, kind in (("Resumed. Still paused:", "expense"), ("That was not paused. Paused:", "expense")):
        shown = resumes("--kind", kind)
        assert told in shown and everything in shown and shown.endswith("resume")
    assert "The kind action is still stopped." in resumes()
    assert "Resumed." in resumes("--kind", "action")
    assert "It was not paused." in resumes()


def test_reset_clock_asks_a_person_who_sees_the_time(database: Path) -> None:
    ask(database)
    assert run(database, "reset-clock").returncode == 2
    for typed, code, says in (("n", 1, "Nothing was changed."), ("y", 0, "The clock is trusted again")):
        with at_terminal(database, "reset-clock") as person:
            person.answer("If yes, later timestamps in the log are treated as wrong. [y/N]: ", typed)
            assert person.finish() == code
        assert says in person.shown
    events = [entry["event"] for entry in json.loads(run(database, "audit", "list", "--json").stdout)]
    assert events == ["opened", "clock-reset"]


@pytest.mark.parametrize("kind", ["", "x" * 101, "ex\u202epense"], ids=["none", "long", "deceptive"])
def test_what_is_no_kinds_name_cannot_be_stopped(database: Path, kind: str) -> None:
    done = run(database, "pause", "--kind", kind)
    assert (done.returncode, done.stdout) == (2, "")
    assert "kind must be a plain name" in done.stderr


@pytest.mark.parametrize(("option", "outcome"), [("--succeeded", "succeeded"), ("--failed", "failed")])
def test_reconcile_settles_what_a_person_has_found_out(database: Path, option: str, outcome: str) -> None:
    approval_id = redeemed(database)
    assert run(database, "reconcile", approval_id, option).returncode == 2
    with at_terminal(database, "reconcile", approval_id, option) as person:
        person.answer(f"Record that this {outcome}? You cannot change it later. [y/N]: ", "n")
        assert person.finish() == 1
    assert look(database, approval_id).outcome.state is OutcomeState.RUNNING
    with at_terminal(database, "reconcile", approval_id, option) as person:
        shown = person.answer(f"Record that this {outcome}? You cannot change it later. [y/N]: ", "y")
        assert person.finish() == 0
    assert '"send": "it"' in shown
    assert person.shown.endswith(f"The outcome of {approval_id} is now {outcome}.\n")
    assert look(database, approval_id).outcome.state.value == outcome
    with at_terminal(database, "reconcile", approval_id, option) as person:
        person.answer("You cannot change it later. [y/N]: ", "y")
        assert person.finish() == 2
    assert "there is nothing to reconcile" in person.shown
    assert run(database, "audit", "verify").returncode == 0


def test_reconcile_needs_to_be_told_what_was_found_out(database: Path) -> None:
    done = run(database, "reconcile", ask(database))
    assert done.returncode == 2 and "--succeeded" in done.stderr
