"""`submit-expense` sets an `ExpenseFlow` going: validate, wait for people, reimburse once."""

from datetime import timedelta
from typing import Any

import pytest
from desk_samples import AGENT, ANA, LUNCH, said, say
from engine.rig import Rig

from mcp_hitl.domain.approvals.approval import Approval, Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.process.workers import runner_of, timers_of

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]

EVERY_EXPENSE = "SELECT approval, amount, currency, description, category FROM expenses"


@pytest.fixture(autouse=True)
def built_in_kinds(rig: Rig) -> None:
    """Without any configuration."""
    rig.rulebook = Rulebook()


async def submit(rig: Rig, **changes: Any) -> Approval:
    """Ask for a lunch, and let the flow run to where people have to decide."""
    approval = await rig.desk.approvals.submit(AGENT, "expense", LUNCH | changes)
    await run_flows(rig)
    return approval


async def run_flows(rig: Rig) -> None:
    """A server starts and runs what is runnable."""
    await runner_of(rig.desk).catch_up()


async def test_an_approved_expense_is_one_row_and_its_outcome_says_so(rig: Rig) -> None:
    approval = await submit(rig, category="travel")
    await rig.approve(approval.id)
    await run_flows(rig)
    assert await rig.rows(EVERY_EXPENSE) == [(approval.id, "49.99", "USD", "Lunch", "travel")]
    done = await rig.look(approval.id)
    assert done.outcome == Outcome(OutcomeState.SUCCEEDED, {"amount": 49.99, "currency": "USD"})
    assert await rig.state(approval.id) is FlowState.DONE


async def test_the_approval_tells_how_far_the_flow_is(rig: Rig) -> None:
    approval = await submit(rig)
    [progress] = (await rig.look(approval.id)).progress
    assert (progress.step, progress.message) == ("approval", "Awaiting approval for 49.99 USD")
    assert progress.at == rig.clock()
    await rig.approve(approval.id)
    await run_flows(rig)
    assert (await rig.look(approval.id)).progress == (progress,)


async def test_between_decision_and_end_the_outcome_is_none_and_then_running(rig: Rig) -> None:
    approval = await submit(rig)
    assert await rig.ended_as(approval.id) is OutcomeState.NONE
    await rig.approve(approval.id)
    assert await rig.ended_as(approval.id) is OutcomeState.NONE
    await run_flows(rig)
    events = [recorded.entry.event.value for recorded in (await rig.desk.approvals.trail(AGENT, approval.id)).entries]
    assert events == ["opened", "progress", "decided", "approved", "started", "succeeded"]


@pytest.mark.parametrize("status", ["rejected", "expired", "cancelled"])
async def test_what_is_not_approved_is_not_reimbursed_and_has_no_outcome(rig: Rig, status: str) -> None:
    approval = await submit(rig)
    if status == "rejected":
        await rig.reject(approval.id)
    elif status == "expired":
        rig.clock.advance(timedelta(days=8))
        await timers_of(rig.desk).catch_up()
    else:
        await rig.desk.approvals.cancel(AGENT, approval.id)
    await run_flows(rig)
    ended = await rig.look(approval.id)
    assert (ended.status, ended.outcome) == (Status(status), Outcome())
    assert await rig.rows(EVERY_EXPENSE) == []
    assert await rig.state(approval.id) is FlowState.FAILED


async def test_what_is_reimbursed_is_what_people_approved_after_an_edit(rig: Rig) -> None:
    approval = await submit(rig)
    shown = await rig.look(approval.id)
    cheaper: JsonObject = {"amount": 20, "currency": "EUR", "description": "Lunch, without the wine"}
    await rig.desk.approvals.edit(ANA, Shown.of(shown), cheaper, assurance=Assurance.LOCAL)
    await rig.approve(approval.id)
    await run_flows(rig)
    assert await rig.rows(EVERY_EXPENSE) == [(approval.id, "20", "EUR", "Lunch, without the wine", None)]
    assert (await rig.outcome(approval.id)).result == {"amount": 20, "currency": "EUR"}


async def test_an_edit_before_the_flow_has_begun_is_what_people_decide_on(rig: Rig) -> None:
    opened = await rig.desk.approvals.submit(AGENT, "expense", LUNCH)
    edited = await rig.desk.approvals.edit(ANA, Shown.of(opened), LUNCH | {"amount": 20}, assurance=Assurance.LOCAL)
    await run_flows(rig)
    await say(rig.desk, said(ANA, edited))
    await run_flows(rig)
    assert await rig.rows("SELECT amount FROM expenses") == [("20",)]


async def test_approved_before_the_flow_has_begun_it_is_reimbursed_all_the_same(rig: Rig) -> None:
    approval = await rig.desk.approvals.submit(AGENT, "expense", LUNCH)
    await rig.approve(approval.id)
    await run_flows(rig)
    assert await rig.rows("SELECT amount FROM expenses") == [("49.99",)]
    assert await rig.ended_as(approval.id) is OutcomeState.SUCCEEDED


async def test_a_hundred_restarts_reimburse_once(rig: Rig) -> None:
    approval = await submit(rig)
    await rig.approve(approval.id)
    for _ in range(100):
        await run_flows(rig)
    assert await rig.rows("SELECT count(*) FROM expenses") == [(1,)]
    assert len((await rig.desk.approvals.trail(AGENT, approval.id)).entries) == 6


async def test_more_decimals_than_the_currency_has_are_refused_before_anything_is_stored(rig: Rig) -> None:
    with pytest.raises(Invalid):
        await rig.desk.approvals.submit(AGENT, "expense", LUNCH | {"amount": 49.999})
    assert await rig.rows("SELECT count(*) FROM flows") == [(0,)]


@pytest.mark.parametrize(
    "change", ["amount = '4999'", "amount = '49.990'", "currency = 'EUR'", "description = 'Dinner'", "category = 'x'"]
)
async def test_t35_an_expense_that_is_not_the_one_that_was_approved_is_found(rig: Rig, change: str) -> None:
    approval = await submit(rig)
    await rig.approve(approval.id)
    await run_flows(rig)
    await rig.verify()
    await rig.rows(f"UPDATE expenses SET {change}")
    wrong = f"the expense stored for {approval.id} is not the one that was approved"
    assert (await rig.desk.evidence.verify()).wrong == wrong
    await rig.rows("DELETE FROM expenses")


async def test_t35_an_expense_whose_contents_were_erased_holds_only_what_is_kept(rig: Rig) -> None:
    approval = await submit(rig, category="travel")
    await rig.approve(approval.id)
    await run_flows(rig)
    assert await rig.desk.evidence.erase(None, older_than=timedelta(0)) == 1
    await rig.verify()
    await rig.rows("UPDATE expenses SET description = 'Lunch'")
    wrong = f"the expense stored for {approval.id} is not the one that was approved"
    assert (await rig.desk.evidence.verify()).wrong == wrong
    await rig.rows("DELETE FROM expenses")
