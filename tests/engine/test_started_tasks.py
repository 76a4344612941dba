"""What the tasks may do that a flow starts: end nothing but themselves, and nothing after their run."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from desk_samples import ANA
from engine.rig import PATIENCE, Rig, approved, count_actions, flow_of
from engine.test_interrupted import at_ctrl_c, ended

from mcp_hitl import Step
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.process.workers import serve

pytestmark = pytest.mark.anyio
Code = Callable[[], Coroutine[Any, Any, object]]


async def gathered(*codes: Code) -> None:
    await asyncio.gather(*(code() for code in codes))


async def grouped(*codes: Code) -> None:
    async with anyio.create_task_group() as tasks:
        for code in codes:
            tasks.start_soon(code)


async def grouped_by_asyncio(*codes: Code) -> None:
    async with asyncio.TaskGroup() as tasks:
        for code in codes:
            tasks.create_task(code())


async def bare(*codes: Code) -> None:
    begun = [asyncio.create_task(code()) for code in codes]
    await asyncio.wait(begun)
    for task in begun:
        task.result()


WAYS = pytest.mark.parametrize("beside", [gathered, grouped, grouped_by_asyncio, bare])
Beside = Callable[..., Awaitable[None]]


@WAYS
@pytest.mark.parametrize("where", ["run", "action"])
@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_t09_a_branch_that_wants_to_end_the_program_ends_its_own_flow_alone(
    rig: Rig, beside: Beside, end: type[BaseException], where: str
) -> None:
    going, let = anyio.Event(), anyio.Event()

    async def leave() -> None:
        raise end

    async def tell() -> str:
        going.set()
        await let.wait()
        return "told"

    async def run(value: dict[str, object], step: Step) -> object:
        if not value:
            return {"did": await step.do("tell", tell, at_most_once=True)}
        if where == "run":
            await beside(leave)
        else:
            await step.do("leave", beside, leave, retries=0)
        return None

    # As in a program that `asyncio.run` runs, and not as in pytest.
    with at_ctrl_c(signal.SIG_IGN), anyio.fail_after(PATIENCE):
        async with serve(rig.desk, {"work": flow_of(run)}) as desk:
            innocent = await rig.submit()
            await going.wait()
            bad = await rig.submit({"leave": True})
            assert (await ended(desk, bad)).state is OutcomeState.FAILED
            let.set()
            assert (await ended(desk, innocent)).result == {"did": "told"}


async def test_a_task_that_a_flow_leaves_behind_ends_with_its_run(rig: Rig) -> None:
    ends: list[str] = []

    async def beat() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ends.append("ended")

    async def run(value: dict[str, object], step: Step) -> None:
        task = asyncio.create_task(beat())
        await step.wait_for_approval("people", payload=value)
        await step.do("look", lambda: task.done())

    await rig.submit()
    await rig.go(run)
    assert ends == ["ended"]
    await rig.approve()
    await rig.go(run)
    assert ends == ["ended", "ended"]


async def test_what_an_action_starts_may_outlive_the_run(rig: Rig) -> None:
    left: list[asyncio.Task[bool]] = []
    let = asyncio.Event()

    async def connect() -> None:
        left.append(asyncio.create_task(let.wait()))

    async def run(value: dict[str, object], step: Step) -> None:
        await step.do("connect", connect)

    await rig.submit()
    await rig.go(run)
    let.set()
    assert await left[0] is True


async def test_t09_a_task_that_was_left_behind_acts_no_more_when_another_process_has_the_flow(rig: Rig) -> None:
    begun, lost, tried, calls = anyio.Event(), asyncio.Event(), anyio.Event(), list[str]()

    async def work() -> None:
        begun.set()
        await anyio.sleep_forever()

    async def run(value: dict[str, object], step: Step) -> None:
        async def stubborn() -> None:
            try:
                await lost.wait()
            except asyncio.CancelledError:
                try:
                    await step.do("later", count_actions(calls), "later")
                finally:
                    tried.set()

        await asyncio.gather(asyncio.shield(stubborn()), step.do("work", work))

    await rig.submit()
    await rig.die_in(run, begun)
    with anyio.fail_after(PATIENCE):
        await tried.wait()
    assert calls == []


async def test_t09_a_branch_cleans_up_with_no_step_when_its_server_stops(rig: Rig) -> None:
    """The next run would find the step where its branch still waits."""
    calls: list[str] = []
    begun, let = anyio.Event(), anyio.Event()

    async def work() -> None:
        begun.set()
        await let.wait()

    async def run(value: dict[str, object], step: Step) -> None:
        async def one() -> None:
            try:
                await step.wait_for_approval("people", payload=value)
                await step.do("act", count_actions(calls), "act")
            finally:
                await step.do("release", count_actions(calls), "release")

        async def two() -> None:
            await step.do("work", work)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(one())
            tasks.create_task(two())

    first = await rig.submit()
    async with serve(rig.desk, {"work": flow_of(run)}):
        with anyio.fail_after(PATIENCE):
            await begun.wait()
            while not await rig.rows("SELECT * FROM journal WHERE step = 'wait'"):
                await anyio.lowlevel.checkpoint()
    assert calls == []
    let.set()
    await rig.approve(first)
    await rig.go(run)
    assert (calls, await rig.ended_as(first)) == (["act", "release"], OutcomeState.SUCCEEDED)


@pytest.mark.parametrize("beside", [gathered, grouped, grouped_by_asyncio])
async def test_a_step_that_is_cancelled_is_not_tried_again(rig: Rig, beside: Beside) -> None:
    calls: list[str] = []
    acting = anyio.Event()

    async def act() -> None:
        calls.append("acted")
        acting.set()
        await anyio.sleep_forever()

    async def run(value: dict[str, object], step: Step) -> None:
        async def one() -> None:
            await step.do("act", act, backoff=0)

        async def two() -> None:
            await acting.wait()
            raise ValueError("Enough.")

        async def both() -> None:
            await beside(one, two)

        with anyio.move_on_after(PATIENCE) as limit:
            if beside is gathered:
                both_of_them = asyncio.create_task(both())
                await acting.wait()
                both_of_them.cancel()
                await asyncio.wait([both_of_them])
            else:
                await both()
        assert not limit.cancelled_caught

    await rig.submit()
    await rig.go(run)
    assert calls == ["acted"]


@WAYS
async def test_t15_the_emergency_stop_lets_a_step_beside_it_end_that_acts_at_most_once(
    rig: Rig, beside: Beside
) -> None:
    acting, calls = anyio.Event(), list[str]()

    async def pay() -> None:
        acting.set()
        while not await rig.rows("SELECT * FROM journal WHERE name = 'stop'"):
            await anyio.lowlevel.checkpoint()
        for _ in range(3):  # what the next step reads is read before this, and holds it
            await rig.store.read(lambda view: view.log.last_seq())
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
        calls.append("paid")

    async def stop() -> None:
        await acting.wait()
        await rig.desk.stops.pause(ANA)

    async def run(value: dict[str, object], step: Step) -> None:
        async def one() -> None:
            await step.do("pay", pay, at_most_once=True)

        async def two() -> None:
            await step.do("stop", stop)
            await step.do("tell", count_actions(calls), "told")

        await approved(step)
        await beside(one, two)

    first = await rig.submit()
    await rig.approve()
    await rig.go(run)
    assert calls == ["paid"]
    await rig.desk.stops.resume(ANA)
    await rig.go(run)
    assert (calls, await rig.ended_as(first)) == (["paid", "told"], OutcomeState.SUCCEEDED)


@pytest.mark.parametrize("inner", ["do", "write", "wait", "sleep", "report"])
async def test_a_step_in_the_action_of_a_step_is_a_clear_error(rig: Rig, inner: str) -> None:
    """It would not run again once the outer one is in the journal, and a wait in it would never end."""

    async def run(value: dict[str, object], step: Step) -> None:
        async def outer() -> None:
            match inner:
                case "do":
                    await step.do("inner", print)
                case "write":
                    await step.write("inner", print)
                case "wait":
                    await step.wait_for_approval("inner", payload=value)
                case "sleep":
                    await step.sleep("inner", "1 hour")
                case _:
                    await step.report("inner", "Half of it is done.")

        await step.do("outer", outer, retries=0)

    first = await rig.submit()
    await rig.go(run)
    outcome = await rig.outcome(first)
    assert outcome.state is OutcomeState.FAILED
    assert outcome.error == "Step 'inner' began in the action of step 'outer'. Call it in `run`, before or after it."
