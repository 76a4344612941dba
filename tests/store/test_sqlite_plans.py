"""What asks on every submission costs the same, however much somebody has asked before."""

from collections.abc import Callable
from pathlib import Path

import pytest
from samples import START, an_approval

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store.sql.loading import progress_of
from mcp_hitl.store.sql.transaction import SqlTransaction
from mcp_hitl.store.sqlite.connection import connect, prepare
from mcp_hitl.store.view import View

FEW, MANY = 10, 1_000


def test_what_sqlite_lists_in_another_order_is_put_in_order() -> None:
    assert [one.step for one in progress_of('[[10,"b","",0],[9,"a","",0],[11,"c","",0]]')] == ["a", "b", "c"]


QUESTIONS: dict[str, Callable[[View], object]] = {
    "an equal one": lambda view: view.approvals.equal(["os:agent", "local"], "expense", "sha256:0"),
    "how earlier ones ended": lambda view: view.requesters.count_earlier("os:agent", "expense", "", START, 5),
    "earlier ones": lambda view: view.requesters.earlier("os:agent", "expense", "", 5),
    "how many are open": lambda view: view.requesters.open(["os:agent", "local"], "expense", START),
}


def work_for(path: Path, question: Callable[[View], object], asked: int, *, ended: bool = True) -> int:
    """How many steps of SQLite's machine an answer takes beside so many approvals of the same requester and kind."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    prepare(path)
    db = connect(path)
    tx = SqlTransaction(db)
    for number in range(asked):
        id = approval_id(START, number)
        tx.approvals.insert(an_approval(id=id, digest=f"sha256:of-{number}"))
        if ended:
            tx.approvals.resolve(id, Status.APPROVED, START)
    db.set_progress_handler(step, 1)
    question(tx)
    db.close()
    return steps


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_what_was_asked_before_makes_no_submission_slower(tmp_path: Path, question: Callable[[View], object]) -> None:
    assert work_for(tmp_path / "many.db", question, MANY) < 2 * work_for(tmp_path / "few.db", question, FEW)


@pytest.mark.parametrize("question", ["how many are open", "an equal one"])
def test_t37_what_is_open_already_makes_no_submission_slower(tmp_path: Path, question: str) -> None:
    few, many = (work_for(tmp_path / f"{n}.db", QUESTIONS[question], n, ended=False) for n in (FEW, MANY))
    assert many < 1.2 * few
