"""A flow whose code does not do what its journal says stops; it does not guess."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from engine.rig import Rig, approved, writes

from mcp_hitl import Step
from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.approvals.flow import FlowState

pytestmark = pytest.mark.anyio

calls: list[str] = []


def act(what: str) -> str:
    calls.append(what)
    return what


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


async def original(value: Any, step: Step) -> None:
    await step.do("first", act, "first")
    await step.do("second", act, "second")
    await approved(step)
    await step.do("third", act, "third")


async def renamed(value: Any, step: Step) -> None:
    await step.do("first", act, "first")
    await step.do("another", act, "another")
    await approved(step)


async def inserted(value: Any, step: Step) -> None:
    await step.do("first", act, "first")
    await step.do("new", act, "new")
    await step.do("second", act, "second")
    await approved(step)


async def inserted_report(value: Any, step: Step) -> None:
    await step.report("new", "Here we go")
    await original(value, step)


async def removed(value: Any, step: Step) -> None:
    await step.do("first", act, "first")
    await approved(step)


async def reordered(value: Any, step: Step) -> None:
    await step.do("second", act, "second")
    await step.do("first", act, "first")
    await approved(step)


async def another_step(value: Any, step: Step) -> None:
    await step.do("first", act, "first")
    await step.write("second", writes(calls, "second"))
    await approved(step)


async def ended_early(value: Any, step: Step) -> None:
    await step.do("first", act, "first")


async def raises_early(value: Any, step: Step) -> None:
    await step.do("first", act, "first")
    raise ValueError("I never got this far.")


async def swallows(value: Any, step: Step) -> None:
    try:
        await renamed(value, step)
    except Exception:
        await step.do("whatever", act, "whatever")


WAS_AND_IS = "the flow's code changed: step {} was {} and is {}"
ENDED = "the flow's code changed: it ended before the last steps in its journal"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (renamed, WAS_AND_IS.format(2, "do 'second'", "do 'another'")),
        (inserted, WAS_AND_IS.format(2, "do 'second'", "do 'new'")),
        (inserted_report, WAS_AND_IS.format(1, "do 'first'", "report 'new'")),
        (removed, WAS_AND_IS.format(2, "do 'second'", "wait 'people'")),
        (reordered, WAS_AND_IS.format(1, "do 'first'", "do 'second'")),
        (another_step, WAS_AND_IS.format(2, "do 'second'", "write 'second'")),
        (ended_early, ENDED),
        (raises_early, ENDED),
        (swallows, WAS_AND_IS.format(2, "do 'second'", "do 'another'")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_changed_code_stops_the_flow_as_unknown_and_runs_nothing(
    rig: Rig, changed: Callable[[Any, Step], Awaitable[None]], error: str
) -> None:
    approval_id = await rig.submit()
    await rig.go(original)
    await rig.approve()
    await rig.go(changed)
    outcome = await rig.outcome(approval_id)
    assert (outcome.state, outcome.error) == (OutcomeState.UNKNOWN, error)
    assert calls == ["first", "second"]
    assert await rig.state(approval_id) is FlowState.UNKNOWN


async def test_the_old_code_coming_back_does_not_go_on_behind_a_persons_back(rig: Rig) -> None:
    approval_id = await rig.submit()
    await rig.go(original)
    await rig.approve()
    await rig.go(renamed)
    assert await rig.go(original) == 0
    assert (calls, await rig.ended_as(approval_id)) == (["first", "second"], OutcomeState.UNKNOWN)


async def test_what_comes_after_the_journal_may_be_changed(rig: Rig) -> None:
    async def longer(value: Any, step: Step) -> None:
        await step.do("first", act, "first")
        await step.do("second", act, "second")
        await approved(step)
        await step.report("new", "Almost there")
        await step.do("other", act, "other")

    approval_id = await rig.submit()
    await rig.go(original)
    await rig.approve()
    await rig.go(longer)
    assert (calls, await rig.ended_as(approval_id)) == (["first", "second", "other"], OutcomeState.SUCCEEDED)


async def test_changed_before_people_have_decided_it_withdraws_what_they_were_asked(rig: Rig) -> None:
    async def sleepy(value: Any, step: Step) -> None:
        await step.do("first", act, "first")
        await step.sleep("a while", "1 hour")

    approval_id = await rig.submit()
    await rig.go(sleepy)
    rig.clock.advance(timedelta(hours=1))
    await rig.go(original)
    approval = await rig.look(approval_id)
    assert (approval.status, approval.outcome.state) == (Status.CANCELLED, OutcomeState.UNKNOWN)
    assert approval.reason == WAS_AND_IS.format(2, "sleep 'a while'", "do 'second'")
