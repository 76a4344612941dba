"""Replay hands over what has ended in the order of the first time, so a flow never takes another branch's answer."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from engine.rig import Rig, count_actions, writes

from mcp_hitl import Step
from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.engine import turns
from mcp_hitl.engine.unwritten import NOT_NEEDED

pytestmark = pytest.mark.anyio

Branch = Callable[[str], Awaitable[None]]
First = Callable[[Branch, str], Awaitable[None]]
DAYS = timedelta(days=8)
WRITES = [2, 2, 2, 2]
"""To claim a flow, and to put it aside or to end it, with all that it has to tell."""


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


def first_few(number: int, told: list[str]) -> Any:
    """Four branches ask; when so many have been answered, the others are cancelled. Tell who they were, and wait."""

    async def run(value: Any, step: Step) -> list[str]:
        order: list[str] = []
        async with anyio.create_task_group() as tasks:

            async def one(name: str) -> None:
                await step.wait_for_approval("people", payload={"for": name})
                order.append(name)
                await step.do("note", count_actions([]), name)
                if len(order) >= number:
                    tasks.cancel_scope.cancel()

            for name in "abcd":
                tasks.start_soon(one, name)
        await step.do("tell", count_actions(told), " ".join(order))
        await step.sleep("pause", "7 days")
        return order

    return run


async def test_t09_no_order_of_decisions_and_no_death_makes_a_flow_tell_one_thing_and_return_another(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = rig.store.write
    for seed in range(1000 if os.environ.get("SOAK") else 60):
        chance, told = random.Random(seed), list[str]()
        run = first_few(chance.randint(1, 3), told)
        asked = await rig.submit({"for": "a"})
        left = chance.randint(1, 20)

        async def go(run: Any = run, chance: random.Random = chance) -> None:
            nonlocal left
            with anyio.CancelScope() as death:

                async def deadly(work: Any) -> Any:
                    nonlocal left
                    result = await write(work)
                    left -= 1
                    if left == 0:
                        death.cancel()
                        left = chance.randint(4, 20)
                    return result

                monkeypatch.setattr(rig.store, "write", deadly)
                await rig.go(run)
            monkeypatch.undo()
            rig.clock.advance(timedelta(minutes=1))
            if death.cancelled_caught:
                await rig.go(run)

        await go()
        for name in chance.sample("abcd", 4):
            approvals = await ids(rig)
            if name in approvals:
                await rig.approve(approvals[name])
            if chance.random() < 0.6:
                await go()
        await go()
        rig.clock.advance(DAYS)
        await go()
        outcome = await rig.outcome(asked)
        assert outcome.result is not None, (seed, outcome)
        assert {" ".join(outcome.result["value"])} == set(told), seed
        assert await rig.pending() == []


async def test_a_flow_without_branches_writes_no_more_often_for_its_turns(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waits and sleeps get their turns in what is written anyway."""
    write, count = rig.store.write, 0

    async def counted(work: Any) -> Any:
        nonlocal count
        count += 1
        return await write(work)

    async def run(value: Any, step: Step) -> None:
        await step.do("first", count_actions([]), "first")
        await step.wait_for_approval("people", payload={"for": "a"})
        await step.do("second", count_actions([]), "second")
        await step.wait_for_approval("others", payload={"for": "b"})
        await step.do("third", count_actions([]), "third")
        await step.sleep("pause", "1 hour")
        await step.do("fourth", count_actions([]), "fourth")

    await rig.submit({"for": "a"})
    monkeypatch.setattr(rig.store, "write", counted)
    await rig.go(run)
    counts = [count]
    for wait in ("people", "others", "pause"):
        monkeypatch.undo()
        if wait == "pause":
            rig.clock.advance(timedelta(hours=1))
        else:
            await rig.approve()
        monkeypatch.setattr(rig.store, "write", counted)
        await rig.go(run)
        counts.append(count - sum(counts))
    assert counts == WRITES
    assert await rig.rows("SELECT turn FROM journal ORDER BY position") == [(number,) for number in range(7)]


async def test_a_step_that_the_code_does_not_come_to_any_more_is_no_hang(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "GRACE_SECONDS", 0.01)
    monkeypatch.setattr(turns, "LIMIT_SECONDS", 0.01)
    told: list[str] = []
    asked = await rig.submit({"for": "a"})

    async def other(branch: Branch, names: str) -> None:
        await asyncio.gather(*(branch(name) for name in "a"))

    await rig.go(race(group_that_is_cancelled, told))
    await rig.approve((await ids(rig))["b"])
    await rig.go(race(group_that_is_cancelled, told))
    rig.clock.advance(DAYS)
    await rig.go(race(other, told))
    assert (told, await rig.ended_as(asked)) == (["b"], OutcomeState.UNKNOWN)


async def test_an_old_journal_without_turns_goes_on_and_gets_them(rig: Rig) -> None:
    told: list[str] = []
    run = race(first_completed, told)
    asked = await rig.submit({"for": "a"})
    await rig.go(run)
    await rig.approve((await ids(rig))["b"])
    rig.clock.advance(timedelta(seconds=1))
    await rig.go(run)
    await rig.rows("UPDATE journal SET turn = NULL, state = 'done'")
    rig.clock.advance(DAYS)
    await rig.go(run)
    assert (await rig.outcome(asked)).result == {"value": "b"}
    assert await rig.rows("SELECT name FROM journal WHERE turn IS NOT NULL ORDER BY turn") == [
        ("people",),
        ("tell",),
        ("pause",),
    ]


async def test_a_wait_under_a_time_limit_is_cancelled_again(rig: Rig) -> None:
    told: list[str] = []
    limits: list[anyio.CancelScope] = []
    acting = anyio.Event()

    async def act() -> None:
        acting.set()
        with anyio.fail_after(20):
            while not limits[0].cancel_called:
                await anyio.lowlevel.checkpoint()

    async def run(value: Any, step: Step) -> bool:
        async def limited() -> bool:
            with anyio.move_on_after(0.1) as limit:
                limits.append(limit)
                await step.wait_for_approval("people", payload={"for": "a"})
            await step.do("tell", count_actions(told), f"{limit.cancelled_caught}")
            return limit.cancelled_caught

        gave_up, _ = await asyncio.gather(limited(), step.do("act", act))
        await step.sleep("pause", "7 days")
        return gave_up

    asked = await rig.submit({"for": "a"})
    await rig.go(run)
    assert (told, (await rig.look(asked)).status) == (["True"], Status.CANCELLED)
    rig.clock.advance(DAYS)
    await rig.go(run)
    assert (told, (await rig.outcome(asked)).result) == (["True"], {"value": True})
