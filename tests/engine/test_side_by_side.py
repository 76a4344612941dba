"""Branches of a flow that run side by side: asked together, decided in any order, each goes on by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import permutations
from typing import Any

import anyio
import pytest
from engine.rig import Rig, count_actions

from mcp_hitl import NotApproved, Step
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState, Status
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.process.workers import timers_of

pytestmark = pytest.mark.anyio

Branch = Callable[[], Awaitable[Any]]


async def awaited(branch: Branch) -> None:
    await branch()


async def gathered(*branches: Branch) -> None:
    await asyncio.gather(*(branch() for branch in branches))


async def grouped(*branches: Branch) -> None:
    async with anyio.create_task_group() as tasks:
        for branch in branches:
            tasks.start_soon(awaited, branch)


async def grouped_by_asyncio(*branches: Branch) -> None:
    async with asyncio.TaskGroup() as tasks:
        for branch in branches:
            tasks.create_task(awaited(branch))


WAYS = pytest.mark.parametrize("beside", [gathered, grouped, grouped_by_asyncio])
Beside = Callable[..., Awaitable[None]]


def given(approval: Approval) -> Approval:
    if approval.status is not Status.APPROVED:
        raise NotApproved(approval)
    return approval


def reviews(beside: Beside, calls: list[str], names: str = "abc") -> Any:
    """A flow that waits for several people side by side and acts after each, then once more."""

    async def run(value: Any, step: Step) -> dict[str, Any]:
        payloads: dict[str, Any] = {}

        async def review(name: str) -> None:
            payloads[name] = given(await step.wait_for_approval("review", payload={"for": name})).payload
            await step.do("act", count_actions(calls), name, at_most_once=True)
            await step.do("tell", count_actions(calls), name + "!")

        async def one(name: str) -> None:
            await review(name)

        def branch(name: str) -> Branch:
            return lambda: one(name)

        await step.do("begin", count_actions(calls), "begin")
        await beside(*(branch(name) for name in names))
        await step.do("end", count_actions(calls), "end")
        return dict(sorted(payloads.items()))

    return run


async def ids(rig: Rig) -> dict[str, str]:
    return {approval.payload["for"]: approval.id for approval in await rig.pending()}


@WAYS
async def test_approvals_that_a_flow_waits_for_side_by_side_are_asked_at_once(rig: Rig, beside: Beside) -> None:
    first = await rig.submit({"for": "a"})
    await rig.go(reviews(beside, []))
    assert sorted(await ids(rig)) == ["a", "b", "c"]
    assert (await rig.look(first)).payload == {"for": "a"}
    assert await rig.state(first) is FlowState.WAITING


@WAYS
@pytest.mark.parametrize("order", list(permutations("abc")), ids="".join)
async def test_they_are_decided_in_any_order_and_each_resumes_its_own_branch(
    rig: Rig, beside: Beside, order: tuple[str, ...]
) -> None:
    calls: list[str] = []
    first = await rig.submit({"for": "a"})
    await rig.go(reviews(beside, calls))
    asked = await ids(rig)
    for number, name in enumerate(order, 1):
        await rig.approve(asked[name])
        await rig.go(reviews(beside, calls))
        done = [one for decided in order[:number] for one in (decided, decided + "!")]
        assert calls == ["begin", *done, *(["end"] if number == 3 else [])]
    assert (await rig.outcome(first)).result == {name: {"for": name} for name in "abc"}


@WAYS
async def test_all_decided_before_the_flow_runs_again_resume_together(rig: Rig, beside: Beside) -> None:
    calls: list[str] = []
    first = await rig.submit({"for": "a"})
    await rig.go(reviews(beside, calls))
    for approval_id in (await ids(rig)).values():
        await rig.approve(approval_id)
    assert await rig.go(reviews(beside, calls)) == 1
    assert sorted(calls) == sorted(["begin", *"abc", "a!", "b!", "c!", "end"])
    assert await rig.ended_as(first) is OutcomeState.SUCCEEDED


async def test_each_step_of_a_branch_has_an_idempotency_key_that_no_order_changes(rig: Rig) -> None:
    keys: dict[str, set[str]] = {}

    def act(name: str, idempotency_key: str) -> None:
        keys.setdefault(name, set()).add(idempotency_key)
        if len(keys) < 2:
            raise SystemExit  # ends the flow in this run; what it did is not in the journal

    async def run(value: Any, step: Step) -> None:
        async def one(name: str) -> None:
            await step.wait_for_approval("review", payload={"for": name})
            await step.do("act", act, name, retries=0)

        await asyncio.gather(one("a"), one("b"), return_exceptions=True)

    for decided in ("b", "a"):
        keys.clear()
        await rig.submit({"for": "a"})
        await rig.go(run)
        for name in (decided, *({"a", "b"} - {decided})):
            await rig.approve((await ids(rig))[name])
        await rig.go(run)
        assert len(keys["a"] | keys["b"]) == 2
        assert {name: {key.partition(":")[2] for key in found} for name, found in keys.items()} == {
            "a": {"0.0/1"},
            "b": {"0.1/1"},
        }


@WAYS
async def test_one_that_is_rejected_ends_the_flow_and_takes_back_what_the_others_asked(
    rig: Rig, beside: Beside
) -> None:
    calls: list[str] = []
    first = await rig.submit({"for": "a"})
    await rig.go(reviews(beside, calls))
    asked = await ids(rig)
    await rig.approve(asked["c"])
    await rig.go(reviews(beside, calls))
    await rig.reject(asked["a"])
    await rig.go(reviews(beside, calls))
    assert await rig.state(first) is FlowState.FAILED
    assert calls == ["begin", "c", "c!"]
    ended = {name: (await rig.look(approval_id)).status for name, approval_id in asked.items()}
    assert ended == {"a": Status.REJECTED, "b": Status.CANCELLED, "c": Status.APPROVED}
    assert await rig.pending() == []


@WAYS
async def test_one_that_is_rejected_need_not_end_the_others(rig: Rig, beside: Beside) -> None:
    async def run(value: Any, step: Step) -> dict[str, str]:
        said: dict[str, str] = {}

        async def one(name: str) -> None:
            said[name] = (await step.wait_for_approval(name, payload={"for": name})).status.value

        await beside(lambda: one("a"), lambda: one("b"))
        return said

    first = await rig.submit({"for": "a"})
    await rig.go(run)
    asked = await ids(rig)
    await rig.reject(asked["b"])
    await rig.go(run)
    assert list(await ids(rig)) == ["a"]
    await rig.approve(asked["a"])
    await rig.go(run)
    assert (await rig.outcome(first)).result == {"a": "approved", "b": "rejected"}


async def test_the_deadline_of_one_resumes_its_branch_while_the_other_waits(rig: Rig) -> None:
    said: list[str] = []

    async def run(value: Any, step: Step) -> None:
        async def one(name: str, length: str | None) -> None:
            approval = await step.wait_for_approval(name, payload={"for": name}, timeout=length)
            await step.do("say", count_actions(said), f"{name} {approval.status.value}")

        await asyncio.gather(one("a", None), one("b", "1 hour"))

    first = await rig.submit({"for": "a"})
    await rig.go(run)
    rig.clock.advance(timedelta(hours=1))
    await timers_of(rig.desk).catch_up()
    await rig.go(run)
    assert (said, list(await ids(rig))) == (["b expired"], ["a"])
    await rig.approve(first)
    await rig.go(run)
    assert said == ["b expired", "a approved"]
    assert await rig.ended_as(first) is OutcomeState.SUCCEEDED


@pytest.mark.parametrize("earlier", ["sleep", "approval"])
async def test_a_sleep_beside_a_wait_ends_by_itself(rig: Rig, earlier: str) -> None:
    calls: list[str] = []

    async def run(value: Any, step: Step) -> None:
        async def wait() -> None:
            await step.wait_for_approval("people", payload={"for": "a"})
            await step.do("act", count_actions(calls), "approval")

        async def remind() -> None:
            await step.sleep("an hour", "1 hour")
            await step.do("act", count_actions(calls), "sleep")

        await asyncio.gather(wait(), remind())

    first = await rig.submit({"for": "a"})
    await rig.go(run)
    assert (await rig.go(run), calls) == (0, [])
    for one in (earlier, *({"sleep", "approval"} - {earlier})):
        if one == "sleep":
            rig.clock.advance(timedelta(hours=1))
        else:
            await rig.approve(first)
        await rig.go(run)
        assert calls[-1] == one
    assert len(calls) == 2
    assert await rig.ended_as(first) is OutcomeState.SUCCEEDED


async def test_a_branch_that_has_not_come_to_its_wait_yet_is_waited_for(rig: Rig) -> None:
    begun, going, calls = anyio.Event(), anyio.Event(), list[str]()

    async def slow() -> str:
        begun.set()
        await going.wait()
        calls.append("slow")
        return "slow"

    async def run(value: Any, step: Step) -> None:
        async def late() -> None:
            await step.do("slow", slow)
            await step.wait_for_approval("late", payload={"for": "late"})

        await asyncio.gather(step.wait_for_approval("early", payload={"for": "early"}), late())

    first = await rig.submit({"for": "early"})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.go, run)
        await begun.wait()
        assert await rig.state(first) is FlowState.RUNNABLE
        going.set()
    assert sorted(await ids(rig)) == ["early", "late"]
    assert calls == ["slow"]


async def test_a_step_that_left_its_branch_is_a_change_of_the_code(rig: Rig) -> None:
    calls: list[str] = []

    async def before(value: Any, step: Step) -> None:
        await asyncio.gather(step.do("pay", count_actions(calls), "pay", at_most_once=True))
        await step.wait_for_approval("people", payload=value)

    async def after(value: Any, step: Step) -> None:
        await step.do("pay", count_actions(calls), "pay", at_most_once=True)
        await step.wait_for_approval("people", payload=value)

    first = await rig.submit({"for": "a"})
    await rig.go(before)
    await rig.approve(first)
    await rig.go(after)
    assert calls == ["pay"]
    assert await rig.ended_as(first) is OutcomeState.UNKNOWN


DEATHS = range(1, 16)
"""The flow below writes so often until its three approvals are asked, decided and acted on, or less."""


@WAYS
@pytest.mark.parametrize("n", DEATHS)
async def test_t09_a_process_that_dies_after_any_write_leaves_every_branch_where_it_was(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, beside: Beside, n: int
) -> None:
    calls: list[str] = []
    first = await rig.submit({"for": "a"})
    write, scope, count = rig.store.write, anyio.CancelScope(), 0

    async def deadly(work: Any) -> Any:
        nonlocal count
        result = await write(work)
        count += 1
        if count == n:
            scope.cancel()
        return result

    with scope:
        await decide_all(rig, reviews(beside, calls), deadly, monkeypatch)
    assert scope.cancelled_caught is (count >= n)
    rig.clock.advance(timedelta(minutes=1))
    await decide_all(rig, reviews(beside, calls), write, monkeypatch)
    if await rig.ended_as(first) is OutcomeState.UNKNOWN:
        return  # it died in a step that acts at most once
    assert (await rig.outcome(first)).result == {name: {"for": name} for name in "abc"}
    assert sorted(one for one in calls if one in "abc") == ["a", "b", "c"]
    asked = await rig.rows("SELECT payload FROM approvals")
    assert len(asked) == 3


async def decide_all(rig: Rig, run: Any, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the flow, with this way to write, and approve whatever waits, newest first, until nothing is left to do."""
    while True:
        monkeypatch.setattr(rig.store, "write", write)
        await rig.go(run)
        monkeypatch.undo()
        pending = await rig.pending()
        if not pending:
            return
        await rig.approve(pending[-1].id)


async def test_a_journal_from_before_there_were_branches_goes_on(rig: Rig) -> None:
    calls: list[str] = []

    async def run(value: Any, step: Step) -> None:
        await asyncio.gather(*(step.do(name, count_actions(calls), name) for name in "ab"))
        given(await step.wait_for_approval("people", payload=value))
        await step.do("end", count_actions(calls), "end")

    first = await rig.submit({"for": "a"})
    await rig.go(run)
    numbered = "UPDATE journal SET branch = '*', position = CASE name WHEN 'a' THEN 0 WHEN 'b' THEN 1 ELSE 2 END"
    await rig.rows(numbered)
    await rig.approve(first)
    await rig.go(run)
    assert sorted(calls[:2]) == ["a", "b"] and calls[2:] == ["end"]
    assert await rig.ended_as(first) is OutcomeState.SUCCEEDED
