"""What a leap of the clock does to running actions: nothing, while their process lives."""

from datetime import timedelta
from typing import Any

import anyio
import pytest
from engine.rig import PATIENCE, WORK, Rig, approved, flow_of

from mcp_hitl import Step
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.engine.runner import Runner
from mcp_hitl.process.workers import serve

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]

LEAPS = [
    sign * leap
    for leap in (timedelta(minutes=1), timedelta(hours=2), timedelta(days=8), timedelta(days=3650))
    for sign in (1, -1)
]


class Action:
    """A step that goes on until it is told to end."""

    def __init__(self, *, at_most_once: bool) -> None:
        self.begun, self.end = anyio.Event(), anyio.Event()
        self.calls = self.cut = 0
        self._at_most_once = at_most_once

    async def work(self) -> str:
        self.calls += 1
        self.begun.set()
        try:
            await self.end.wait()
        except BaseException:
            self.cut += 1
            raise
        return "done"

    async def run(self, value: Any, step: Step) -> object:
        await approved(step)
        return await step.do("work", self.work, at_most_once=self._at_most_once)


@pytest.mark.parametrize("at_most_once", [True, False], ids=["once", "repeatable"])
@pytest.mark.parametrize("leap", LEAPS, ids=str)
async def test_t44_a_leap_of_the_clock_neither_steals_nor_cuts_a_running_action(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, leap: timedelta, at_most_once: bool
) -> None:
    monkeypatch.setattr(Runner, "seconds", 0.005)
    action = Action(at_most_once=at_most_once)
    approval_id = await rig.submit()
    await rig.approve()
    async with serve(rig.desk, {WORK.name: flow_of(action.run)}):
        with anyio.fail_after(PATIENCE):
            await action.begun.wait()
            rig.clock.advance(leap)
            await turns(rig, 10)
            assert await rig.go(action.run) == 0
            action.end.set()
            while await rig.state(approval_id) is not FlowState.DONE:
                await turns(rig, 1)
    assert (action.calls, action.cut) == (1, 0)
    assert await rig.ended_as(approval_id) is OutcomeState.SUCCEEDED


async def turns(rig: Rig, count: int) -> None:
    """Wait until the runner has looked so often for something to run."""
    await rig.store.has_answered("flows.runnable", rig.store.answered["flows.runnable"] + count)


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(days=3650)], ids=str)
async def test_t44_what_died_while_the_clock_was_ahead_is_carried_on_within_a_lease(rig: Rig, ahead: timedelta) -> None:
    approval_id, action = await rig.submit(), Action(at_most_once=True)
    await rig.approve()
    rig.clock.advance(ahead)
    await rig.die_in(action.run, action.begun)
    rig.clock.advance(-ahead)
    await rig.rows("UPDATE facts SET value = '0' WHERE name = 'clock'")  # what `reset-clock` does
    assert await rig.go(action.run) == 1
    assert await rig.ended_as(approval_id) is OutcomeState.UNKNOWN
