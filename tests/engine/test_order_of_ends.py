"""Replay hands over what has ended in the order of the first time, so a flow never takes another branch's answer."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from engine.rig import Rig, count_actions, writes

from mcp_hitl import Step
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.engine.unwritten import NOT_NEEDED

pytestmark = pytest.mark.anyio

Branch = Callable[[str], Awaitable[None]]
First = Callable[[Branch, str], Awaitable[None]]
DAYS = timedelta(days=8)


async def group_that_is_cancelled(branch: Branch, names: str) -> None:
    async with anyio.create_task_group() as tasks:

        async def one(name: str) -> None:
            await branch(name)
            tasks.cancel_scope.cancel()

        for name in names:
            tasks.start_soon(one, name)


async def first_completed(branch: Branch, names: str) -> None:
    tasks = [asyncio.ensure_future(branch(name)) for name in names]
    _, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.wait(tasks)


class Enough(Exception):
    """The first branch has ended."""


async def asyncio_group_that_fails(branch: Branch, names: str) -> None:
    async def one(name: str) -> None:
        await branch(name)
        raise Enough

    try:
        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(one(name))
    except* Enough:
        pass


FIRSTS = pytest.mark.parametrize("first", [group_that_is_cancelled, first_completed, asyncio_group_that_fails])


def race(first: First, told: list[str], names: str = "ab") -> Any:
    """Tell who was answered first, wait a week, and return who that was."""

    async def run(value: Any, step: Step) -> str:
        won: list[str] = []

        async def branch(name: str) -> None:
            await step.wait_for_approval("people", payload={"for": name})
            won.append(name)

        await first(branch, names)
        await step.do("tell", count_actions(told), won[0])
        await step.sleep("pause", "7 days")
        return won[0]

    return run


async def ids(rig: Rig) -> dict[str, str]:
    return {approval.payload["for"]: approval.id for approval in await rig.pending()}


@FIRSTS
@pytest.mark.parametrize("together", [False, True])
async def test_the_first_answer_stays_the_first(rig: Rig, first: First, together: bool) -> None:
    told: list[str] = []
    run = race(first, told)
    asked = await rig.submit({"for": "a"})
    await rig.go(run)
    approvals = await ids(rig)
    await rig.approve(approvals["b"])
    if together:
        rig.clock.advance(timedelta(seconds=1))
        await rig.approve(approvals["a"])
    await rig.go(run)
    if not together:
        assert await rig.pending() == []
        lost = await rig.look(approvals["a"])
        assert (lost.status, lost.reason) == (Status.CANCELLED, NOT_NEEDED)
    rig.clock.advance(DAYS)
    await rig.go(run)
    assert (told, (await rig.outcome(asked)).result) == (["b"], {"value": "b"})


async def test_each_result_as_it_comes_has_its_step(rig: Rig) -> None:
    told: list[str] = []

    async def run(value: Any, step: Step) -> list[str]:
        async def branch(name: str) -> str:
            await step.wait_for_approval("people", payload={"for": name})
            return name

        order: list[str] = []
        tasks = [asyncio.create_task(branch(name)) for name in "abc"]  # as_completed would begin them in any order
        for number, done in enumerate(asyncio.as_completed(tasks)):
            order.append(await done)
            await step.do(f"tell {number}", count_actions(told), order[-1])
        return order

    asked = await rig.submit({"for": "a"})
    await rig.go(run)
    approvals = await ids(rig)
    for name in "cab":
        await rig.approve(approvals[name])
        await rig.go(run)
    assert (told, (await rig.outcome(asked)).result) == (["c", "a", "b"], {"value": ["c", "a", "b"]})


@FIRSTS
async def test_a_sleep_that_ended_first_stays_the_first(rig: Rig, first: First) -> None:
    told: list[str] = []

    async def run(value: Any, step: Step) -> str:
        won: list[str] = []

        async def branch(name: str) -> None:
            if name == "sleep":
                await step.sleep("an hour", "1 hour")
            else:
                await step.wait_for_approval("people", payload={"for": "people"})
            won.append(name)

        async def both(of: Branch, _: str) -> None:
            await first(lambda name: of({"p": "people", "s": "sleep"}[name]), "ps")

        await both(branch, "")
        await step.do("tell", count_actions(told), won[0])
        await step.wait_for_approval("second", payload={"for": "second"})
        return won[0]

    asked = await rig.submit({"for": "people"})
    await rig.go(run)
    approvals = await ids(rig)
    rig.clock.advance(timedelta(hours=1))
    await rig.go(run)
    assert (await rig.look(approvals["people"])).status is Status.CANCELLED
    await rig.approve((await ids(rig))["second"])
    await rig.go(run)
    assert (told, (await rig.outcome(asked)).result) == (["sleep"], {"value": "sleep"})


@pytest.mark.parametrize("earlier", ["step", "approval"])
@pytest.mark.parametrize("how", ["do", "at most once", "write"])
async def test_a_step_and_an_approval_beside_it_end_in_the_same_order_again(rig: Rig, how: str, earlier: str) -> None:
    acting, answered, let = anyio.Event(), anyio.Event(), anyio.Event()

    async def act() -> None:
        acting.set()
        await let.wait()

    async def run(value: Any, step: Step) -> list[str]:
        order: list[str] = []

        async def wait() -> None:
            await step.wait_for_approval("people", payload={"for": "a"})
            order.append("approval")
            answered.set()

        async def work() -> None:
            if how == "write":
                await step.do("before", act)
                await step.write("act", writes([]))
            else:
                await step.do("act", act, at_most_once=how == "at most once")
            order.append("step")

        await asyncio.gather(wait(), work())
        await step.sleep("pause", "7 days")
        return order

    asked = await rig.submit({"for": "a"})
    if earlier == "step":
        let.set()
        await rig.go(run)
        await rig.approve(asked)
        await rig.go(run)
    else:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rig.go, run)
            await acting.wait()
            while not await rig.rows("SELECT * FROM journal WHERE step = 'wait'"):
                await anyio.lowlevel.checkpoint()
            await rig.approve(asked)
            await answered.wait()
            let.set()
    rig.clock.advance(DAYS)
    await rig.go(run)
    other = "approval" if earlier == "step" else "step"
    assert (await rig.outcome(asked)).result == {"value": [earlier, other]}
