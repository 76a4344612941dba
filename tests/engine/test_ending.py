"""How flows end and stop: errors, what swallows them, the emergency stop, a database that is away, reconciling."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from desk_samples import AGENT, ANA
from engine.rig import KINDS, WORK, Rig, approved, flow_of, writes
from terminal import at_terminal, run

from mcp_hitl import Step
from mcp_hitl.config.location import Location
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Conflict, Invalid, NotFound, Unavailable
from mcp_hitl.engine import claims, reports
from mcp_hitl.engine.runner import Runner
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import runner_of, serve

pytestmark = pytest.mark.anyio


async def test_a_flow_that_raises_has_failed_and_its_error_is_in_the_approval(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await approved(step)
        raise ValueError("The account is closed.")

    approval_id = await rig.submit()
    await rig.approve()
    await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert (outcome.state, outcome.result) == (OutcomeState.FAILED, None)
    assert outcome.error == "ValueError: The account is closed."
    assert await rig.state(approval_id) is FlowState.FAILED
    assert await rig.go(run) == 0


async def test_t25_an_error_is_bounded_and_hides_nothing(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await approved(step)
        raise ValueError("\x1b[2J\u202eevil\u200b\n" + "x" * 100_000)

    approval_id = await rig.submit()
    await rig.approve()
    await rig.go(run)
    error = (await rig.outcome(approval_id)).error
    assert error is not None and len(error) < 600
    assert error.startswith("ValueError: \\u001b[2J\\u202eevil\\u200b\\nxxx")


async def test_a_flow_that_raises_before_people_have_decided_withdraws_what_they_were_asked(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        raise ValueError("There is no such account.")

    approval_id = await rig.submit()
    await rig.go(run)
    approval = await rig.look(approval_id)
    assert (approval.status, approval.outcome.state) == (Status.CANCELLED, OutcomeState.FAILED)
    assert approval.reason == "ValueError: There is no such account."


async def test_what_was_reported_before_the_end_is_kept(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await step.report("begin", "Here we go")
        await step.do("work", lambda: None)
        await step.report("end", "This cannot work")
        raise ValueError

    approval_id = await rig.submit()
    await rig.go(run)
    progress = (await rig.look(approval_id)).progress
    assert [(one.step, one.message) for one in progress] == [("begin", "Here we go"), ("end", "This cannot work")]


async def test_reports_are_made_once_and_bounded(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await step.report("first", "x" * 10_000)
        await approved(step)
        await step.report("second", "y")

    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve()
    await rig.go(run)
    first, second = (await rig.look(approval_id)).progress
    assert (len(first.message), second.message) == (500, "y")


async def test_t37_the_first_reports_of_a_flow_are_kept_and_it_goes_on(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MOST_REPORTS", 3)

    async def run(value: Any, step: Step) -> None:
        for number in range(5):
            await step.report(f"report {number}", "Still here")
        await approved(step)

    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve()
    await rig.go(run)
    approval = await rig.look(approval_id)
    assert [one.step for one in approval.progress] == ["report 0", "report 1", "report 2"]
    assert approval.outcome.state is OutcomeState.SUCCEEDED
    assert (await rig.desk.evidence.verify()).wrong is None


@pytest.mark.parametrize("last", ["do", "write", "report", "wait", "sleep", "return", "raise"])
async def test_a_flow_that_catches_everything_does_not_get_past_a_person(rig: Rig, last: str) -> None:
    calls: list[str] = []

    async def run(value: Any, step: Step) -> None:
        try:
            await step.wait_for_approval("people", payload=value)
        except Exception:
            pass
        match last:
            case "do":
                await step.do("act", lambda: calls.append("acted"))
            case "write":
                await step.write("act", writes(calls))
            case "report":
                await step.report("act", "acted")
            case "wait":
                await step.wait_for_approval("more people", payload={})
            case "sleep":
                await step.sleep("act", "1 hour")
            case "raise":
                raise ValueError
            case _:
                pass

    approval_id = await rig.submit()
    await rig.go(run)
    assert (calls, await rig.state(approval_id)) == ([], FlowState.WAITING)
    approval = await rig.look(approval_id)
    assert (approval.status, approval.outcome.state, approval.progress) == (Status.PENDING, OutcomeState.NONE, ())


async def test_a_flow_that_catches_everything_does_not_get_past_the_unknown(rig: Rig) -> None:
    calls: list[str] = []

    def fail() -> None:
        raise TimeoutError

    async def run(value: Any, step: Step) -> str:
        await approved(step)
        try:
            await step.do("pay", fail, at_most_once=True)
        except Exception:
            await step.do("pay again", lambda: calls.append("paid"))
        return "paid"

    approval_id = await rig.submit()
    await rig.approve()
    await rig.go(run)
    assert (calls, await rig.ended_as(approval_id)) == ([], OutcomeState.UNKNOWN)


async def test_a_flow_may_catch_what_its_own_step_raises(rig: Rig) -> None:
    def fail() -> None:
        raise OSError

    async def run(value: Any, step: Step) -> str:
        await approved(step)
        try:
            await step.do("mail", fail, retries=0)
        except OSError:
            return "not mailed"
        return "mailed"

    approval_id = await rig.submit()
    await rig.approve()
    await rig.go(run)
    assert (await rig.outcome(approval_id)).result == {"value": "not mailed"}


async def test_t15_a_stop_in_the_middle_holds_the_flow_at_its_next_step_and_it_goes_on_at_once(rig: Rig) -> None:
    calls: list[str] = []
    acting, act = anyio.Event(), anyio.Event()

    async def first() -> None:
        calls.append("first")
        acting.set()
        await act.wait()

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.do("first", first)
        await step.write("second", writes(calls, "second"))

    approval_id = await rig.submit()
    await rig.approve()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.go, run)
        with anyio.fail_after(20):
            await acting.wait()
        await rig.desk.stops.pause(ANA)
        act.set()
    assert (calls, await rig.state(approval_id)) == (["first"], FlowState.RUNNABLE)
    assert await rig.go(run) == 0
    await rig.desk.stops.resume(ANA)
    assert await rig.go(run) == 1
    assert (calls, await rig.ended_as(approval_id)) == (["first", "second"], OutcomeState.SUCCEEDED)


async def test_t15_a_running_server_goes_on_at_once_when_the_stop_ends(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await approved(step)

    approval_id = await rig.submit()
    await rig.approve()
    await rig.desk.stops.pause(ANA)
    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(run)}):
        await rig.store.has_answered("flows.runnable", 0)
        await desk.stops.resume(ANA)
        with anyio.fail_after(20):
            while await rig.state(approval_id) is not FlowState.DONE:
                await anyio.lowlevel.checkpoint()


async def test_asking_goes_on_while_flows_are_stopped(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await approved(step)

    await rig.desk.stops.pause(ANA)
    approval_id = await rig.submit()
    assert await rig.go(run) == 0
    assert (await rig.look(approval_id)).status is Status.PENDING


class Away:
    """A store whose writes fail from the one on that the test names."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fail = 0
        self.failed = anyio.Event()
        write = rig.store.write

        async def perhaps(work: Callable[[Any], Any]) -> Any:
            if self.fail > 0:
                self.fail -= 1
                self.failed.set()
                raise Unavailable("The disk went away.")
            return await write(work)

        monkeypatch.setattr(rig.store, "write", perhaps)


@pytest.mark.parametrize("end", ["return", "raise", "unknown", "hold"])
async def test_a_database_that_is_away_when_a_flow_ends_does_not_end_the_server(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(Runner, "seconds", 0.01)
    monkeypatch.setattr(claims, "_RENEW_SECONDS", 3600.0)  # the write that fails is the flow's own
    away = Away(rig, monkeypatch)

    def last() -> None:
        away.fail = 1
        if end == "raise":
            raise ValueError
        if end == "unknown":
            raise TimeoutError

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        if end == "hold":
            await rig.desk.stops.pause(ANA)
            away.fail = 1
            await step.write("act", writes([]))
        else:
            await step.do("act", last, retries=0, at_most_once=end == "unknown")

    approval_id = await rig.submit()
    await rig.approve()
    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(run)}):
        with anyio.fail_after(20):
            await away.failed.wait()
        if end == "hold":
            await desk.stops.resume(ANA)
        # The server lives; when the lease has run out, it takes the flow up again.
        second = await rig.submit()
        with anyio.fail_after(20):
            while await rig.state(second) is not FlowState.WAITING:
                await anyio.lowlevel.checkpoint()
        assert await rig.state(approval_id) is FlowState.RUNNABLE


async def test_a_database_that_is_away_at_a_renewal_does_not_end_the_server(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_RENEW_SECONDS", 0.005)
    monkeypatch.setattr(Runner, "seconds", 0.005)
    away = Away(rig, monkeypatch)
    act = anyio.Event()

    async def wait() -> None:
        away.fail = 2
        await act.wait()

    async def run(value: Any, step: Step) -> str:
        await step.do("wait", wait)
        await approved(step)
        return "done"

    approval_id = await rig.submit()
    await rig.approve()
    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(run)}):
        with anyio.fail_after(20):
            await away.failed.wait()
            while away.fail:
                await anyio.lowlevel.checkpoint()
            act.set()
            while await rig.state(approval_id) is not FlowState.DONE:
                await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("flow", "wrong"),
    [
        ("no.such.module:Flow", "cannot be imported: ModuleNotFoundError: No module named 'no'"),
        ("mcp_hitl.flows.expense:NoFlow", "cannot be imported: AttributeError: "),
        ("mcp_hitl.flows.expense", "cannot be imported: "),
        (":ExpenseFlow", "cannot be imported: "),
        ("mcp_hitl.flows.expense:Expense", "is not a Flow"),
        ("mcp_hitl.flows.expense:validate", "is not a Flow"),
        ("broken_on_import:Flow", "cannot be imported: ZeroDivisionError"),
    ],
)
async def test_a_flow_that_cannot_be_imported_is_a_clear_error_when_the_server_starts(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flow: str, wrong: str
) -> None:
    (tmp_path / "broken_on_import.py").write_text("1 / 0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    rig.rulebook = replace(rig.rulebook, kinds={"work": replace(WORK, flow=flow)})
    with pytest.raises(Invalid) as raised:
        runner_of(rig.desk)
    assert str(raised.value).startswith(f"The flow {flow!r} of the kind 'work' {wrong}")


async def unknown(rig: Rig) -> str:
    """A flow that stopped as unknown; the id of its approval."""

    def fail() -> None:
        raise TimeoutError

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.do("pay", fail, at_most_once=True)

    approval_id = await rig.submit()
    await rig.approve()
    await rig.go(run)
    assert await rig.ended_as(approval_id) is OutcomeState.UNKNOWN
    return approval_id


@pytest.mark.parametrize("succeeded", [True, False])
async def test_t09_a_person_settles_what_nobody_could_tell(rig: Rig, succeeded: bool) -> None:
    approval_id = await unknown(rig)
    approval = await rig.desk.decisions.reconcile(ANA, approval_id, succeeded, assurance=Assurance.LOCAL)
    assert approval.outcome.state is (OutcomeState.SUCCEEDED if succeeded else OutcomeState.FAILED)
    assert await rig.state(approval_id) is (FlowState.DONE if succeeded else FlowState.FAILED)
    last = (await rig.desk.approvals.trail(AGENT, approval_id)).entries[-1].entry
    assert (last.event.value, last.actor) == ("succeeded" if succeeded else "failed", "os:ana")


async def test_t09_what_is_settled_stays_settled_and_runs_no_more(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        raise AssertionError("It must not run again.")

    approval_id = await unknown(rig)
    await rig.desk.decisions.reconcile(ANA, approval_id, True, assurance=Assurance.LOCAL)
    with pytest.raises(Conflict, match="is succeeded, so there is nothing to reconcile"):
        await rig.desk.decisions.reconcile(ANA, approval_id, False, assurance=Assurance.LOCAL)
    assert await rig.go(run) == 0


async def test_only_what_is_unknown_can_be_reconciled(rig: Rig) -> None:
    approval_id = await rig.submit()
    with pytest.raises(Conflict, match="is none, so there is nothing to reconcile"):
        await rig.desk.decisions.reconcile(ANA, approval_id, True, assurance=Assurance.LOCAL)
    with pytest.raises(NotFound):
        await rig.desk.decisions.reconcile(ANA, "apr_01jd9xkm8g0123456789abcdef", True, assurance=Assurance.LOCAL)


@pytest.mark.parametrize(("said", "state"), [("--succeeded", "succeeded"), ("--failed", "failed")])
async def test_at_the_terminal_a_person_sees_what_it_was_and_settles_it(
    rig: Rig, database: Location, said: str, state: str
) -> None:
    approval_id = await unknown(rig)

    def person() -> tuple[int, str]:
        with at_terminal(database.written, "reconcile", approval_id, said) as terminal:
            shown = terminal.answer(f"Record that this {state}?", "y")
            assert approval_id in shown
            return terminal.finish(), terminal.shown

    code, shown = await anyio.to_thread.run_sync(person)
    assert code == 0
    assert f"The outcome of {approval_id} is now {state}." in shown
    assert (await rig.outcome(approval_id)).state.value == state


async def test_at_the_terminal_no_is_no_and_nobody_there_is_a_refusal(rig: Rig, database: Location) -> None:
    approval_id = await unknown(rig)

    def person() -> int:
        with at_terminal(database.written, "reconcile", approval_id, "--succeeded") as terminal:
            terminal.answer("Record that this", "n")
            return terminal.finish()

    assert await anyio.to_thread.run_sync(person) == 1
    refused = await anyio.to_thread.run_sync(lambda: run(database.written, "reconcile", approval_id, "--succeeded"))
    assert refused.returncode == 2
    wrong = await anyio.to_thread.run_sync(lambda: run(database.written, "reconcile", approval_id))
    assert wrong.returncode == 2
    assert await rig.ended_as(approval_id) is OutcomeState.UNKNOWN


async def test_a_desk_without_flows_runs_none(rig: Rig) -> None:
    desk = Desk(rig.store, effects=EFFECTS, rulebook=Rulebook(kinds={"plain": Kind(name="plain", schema={})}))
    assert await runner_of(desk).catch_up() == 0
    assert set(KINDS) > {"expense", "work"}
