"""A flow gets what it needs from the process that runs it."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from engine.rig import PATIENCE, WORK, Rig, approved

from mcp_hitl import Flow, Step
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.process.workers import runner_of, serve

pytestmark = pytest.mark.anyio


class Upstream:
    """A connection to another server."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def make(self, flow: type[Any]) -> Flow[Any, Any]:
        """Make the flows that need the connection with it, and the others without."""
        return flow(self) if flow is Forward else flow()

    async def call(self, tool: str) -> str:
        self.calls.append(tool)
        return f"{tool} is done"


class Forward(Flow[Any, Any]):
    """Calls a tool of the other server once people have approved."""

    kind = WORK.name

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def run(self, value: Any, step: Step) -> str:
        await approved(step)
        return await step.do("call", self._upstream.call, "pay", at_most_once=True)


async def test_a_flow_gets_what_it_was_given(rig: Rig) -> None:
    upstream = Upstream()
    runner = runner_of(rig.desk, {WORK.name: Forward}, make=upstream.make)
    approval_id = await rig.submit()
    await runner.catch_up()
    await rig.approve()
    await runner.catch_up()
    assert (upstream.calls, (await rig.outcome(approval_id)).result) == (["pay"], {"value": "pay is done"})


async def test_a_server_gives_its_flows_what_they_need(rig: Rig) -> None:
    upstream = Upstream()
    desk = rig.desk
    approval_id = await rig.submit()
    await rig.approve()
    async with serve(desk, {WORK.name: Forward}, make=upstream.make):
        with anyio.fail_after(PATIENCE):
            while await rig.state(approval_id) is not FlowState.DONE:
                await anyio.lowlevel.checkpoint()
    assert upstream.calls == ["pay"]


async def test_a_flow_that_cannot_be_made_has_failed(rig: Rig) -> None:
    approval_id = await rig.submit()
    await rig.approve()
    await runner_of(rig.desk, {WORK.name: Forward}).catch_up()
    assert await rig.ended_as(approval_id) is OutcomeState.FAILED
    assert await rig.state(approval_id) is FlowState.FAILED
