"""`step.sleep`: until a time that the journal keeps, in no process's memory."""

from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from engine.rig import WORK, Rig, flow_of

from mcp_hitl import Step
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.engine.runner import Runner
from mcp_hitl.process.workers import serve

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]

HOUR = timedelta(hours=1)
MOMENT = timedelta(milliseconds=1)


async def nap(value: Any, step: Step) -> str:
    """Sleep for an hour."""
    await step.sleep("nap", "1 hour")
    return "awake"


async def test_a_flow_sleeps_until_its_time_and_not_longer(rig: Rig) -> None:
    approval_id = await rig.submit()
    await rig.go(nap)
    assert await rig.state(approval_id) is FlowState.SLEEPING
    rig.clock.advance(HOUR - MOMENT)
    assert await rig.go(nap) == 0
    rig.clock.advance(MOMENT)
    assert await rig.go(nap) == 1
    assert await rig.state(approval_id) is FlowState.DONE


async def test_restarts_on_the_way_neither_lengthen_nor_shorten_it(rig: Rig) -> None:
    approval_id = await rig.submit()
    for _ in range(6):
        await rig.go(nap)
        rig.clock.advance(HOUR / 6)
    assert await rig.go(nap) == 1
    assert await rig.ended_as(approval_id) is OutcomeState.SUCCEEDED


async def test_a_flow_that_overslept_goes_on_at_once(rig: Rig) -> None:
    await rig.submit()
    await rig.go(nap)
    rig.clock.advance(timedelta(days=300))
    assert await rig.go(nap) == 1


async def test_two_sleeps_follow_each_other(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await step.sleep("first", timedelta(minutes=10))
        await step.sleep("second", "PT20M")

    approval_id = await rig.submit()
    await rig.go(run)
    rig.clock.advance(timedelta(minutes=10))
    await rig.go(run)
    assert await rig.state(approval_id) is FlowState.SLEEPING
    rig.clock.advance(timedelta(minutes=20))
    await rig.go(run)
    assert await rig.state(approval_id) is FlowState.DONE


async def test_no_length_at_all_is_no_sleep(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await step.sleep("nothing", timedelta())

    approval_id = await rig.submit()
    await rig.go(run)
    assert await rig.state(approval_id) is FlowState.DONE


async def test_what_is_no_length_of_time_fails_the_flow(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await step.sleep("a while", "soon")

    approval_id = await rig.submit()
    await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert outcome.state is OutcomeState.FAILED
    assert outcome.error is not None and "length of time" in outcome.error


async def test_a_sleeper_that_is_woken_too_early_sleeps_on(rig: Rig) -> None:
    approval_id = await rig.submit()
    await rig.go(nap)
    await rig.rows("UPDATE flows SET state = 'runnable', wake_at = NULL")  # as if something had gone wrong
    assert await rig.go(nap) == 1
    assert await rig.state(approval_id) is FlowState.SLEEPING
    rig.clock.advance(HOUR)
    await rig.go(nap)
    assert await rig.state(approval_id) is FlowState.DONE


async def test_t14_a_clock_set_back_does_not_send_a_woken_flow_to_sleep_again(rig: Rig) -> None:
    approval_id = await rig.submit()
    await rig.go(nap)
    rig.clock.advance(HOUR)
    other = await rig.submit()
    rig.clock.advance(-HOUR)
    await rig.go(nap)
    assert await rig.state(approval_id) is FlowState.DONE
    assert await rig.state(other) is FlowState.SLEEPING


async def test_a_server_wakes_whose_time_has_come(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "seconds", 0.01)
    approval_id = await rig.submit()
    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(nap)}):
        with anyio.fail_after(20):
            while await rig.state(approval_id) is not FlowState.SLEEPING:
                await anyio.lowlevel.checkpoint()
            rig.clock.advance(HOUR)
            while await rig.state(approval_id) is not FlowState.DONE:
                await anyio.lowlevel.checkpoint()
