"""`step.wait_for_approval`: the approval that started the flow, and those that it opens on its way."""

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from desk_samples import AGENT, ANA, said, say, views
from engine.rig import KINDS, OTHER, WORK, Rig, approved, flow_of, writes

from mcp_hitl import NotApproved, Step
from mcp_hitl.desk import Desk
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.domain.approvals.approval import Approval, Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Policy, Stage, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.errors import NotAllowed
from mcp_hitl.engine.claims import LEASE
from mcp_hitl.engine.runner import Runner
from mcp_hitl.process.workers import runner_of, serve, timers_of, working

pytestmark = pytest.mark.anyio


async def wait_once(value: Any, step: Step) -> str:
    """Wait for people, and tell what they said."""
    approval = await step.wait_for_approval("people", payload=value)
    return approval.status.value


async def wait_twice(value: Any, step: Step) -> list[Any]:
    """Wait for people, then for people again."""
    first = await approved(step, value)
    again = {"again": first.payload}
    second = await step.wait_for_approval("again", payload=again, timeout="2 hours", title="And now?")
    if second.status is not Status.APPROVED:
        raise NotApproved(second)
    return [first.id, second.id, second.payload]


async def test_the_first_wait_is_for_the_approval_that_started_the_flow(rig: Rig) -> None:
    approval_id = await rig.submit({"n": 1})
    await rig.go(wait_once)
    assert [approval.id for approval in await rig.pending()] == [approval_id]
    assert await rig.state(approval_id) is FlowState.WAITING


async def test_what_is_approved_before_the_flow_waits_for_it_is_started_once_and_then_done(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> Any:
        await rig.approve()  # while this run is on its way to its wait
        approval = await approved(step, value)
        running = await rig.ended_as(approval.id)
        return {"while it ran": running.value}

    approval_id = await rig.submit({"n": 1})
    await rig.go(run)
    assert await rig.outcome(approval_id) == Outcome(OutcomeState.SUCCEEDED, {"while it ran": "running"})
    events = await rig.rows("SELECT event FROM audit ORDER BY seq")
    assert events == [("opened",), ("decided",), ("approved",), ("started",), ("succeeded",)]
    await rig.verify()


async def test_a_completed_payload_is_a_revision_by_the_system_before_people_decide(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> Any:
        return (await approved(step, value | {"fee": 2})).payload

    approval_id = await rig.submit({"n": 1})
    await rig.go(run)
    approval = await rig.look(approval_id)
    [edit] = approval.edits
    assert (approval.revision, approval.payload) == (2, {"n": 1, "fee": 2})
    assert (edit.editor, edit.before, edit.after) == ("system", {"n": 1}, {"n": 1, "fee": 2})
    await rig.approve(approval_id)
    await rig.go(run)
    assert (await rig.outcome(approval_id)).result == {"n": 1, "fee": 2}


async def test_t07_a_decision_on_what_it_was_before_the_flow_completed_it_is_refused(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await approved(step, value | {"fee": 2})

    shown = await rig.look(await rig.submit({"n": 1}))
    await rig.go(run)
    with pytest.raises(Exception, match="was edited after this was shown"):
        await say(rig.desk, said(ANA, shown))


async def test_a_completed_payload_must_fit_its_kind(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await approved(step, {"n": "one"})

    rig.with_kind(schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    approval_id = await rig.submit({"n": 1})
    await rig.go(run)
    approval = await rig.look(approval_id)
    assert (approval.status, approval.outcome.state, approval.revision) == (
        Status.CANCELLED,
        OutcomeState.FAILED,
        1,
    )


async def test_what_a_flow_says_that_was_approved_must_fit_its_kind_too(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await approved(step, {"n": "one"})

    rig.with_kind(schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    approval_id = await rig.submit({"n": 1})
    await rig.approve()
    await rig.go(run)
    approval = await rig.look(approval_id)
    assert (approval.status, approval.outcome.state) == (Status.APPROVED, OutcomeState.FAILED)
    assert approval.outcome.error == "payload.n must be a whole number."


async def test_going_on_after_people_have_decided_reads_nothing_that_the_claim_has_read(rig: Rig) -> None:
    await rig.submit()
    await rig.go(wait_once)
    await rig.approve()
    before = rig.store.answered["approvals.get"]
    await rig.go(wait_once)
    assert rig.store.answered["approvals.get"] == before


async def test_a_second_approval_is_opened_once_the_first_is_given(rig: Rig) -> None:
    first = await rig.submit({"n": 1})
    await rig.go(wait_twice)
    await rig.approve()
    await rig.go(wait_twice)
    await rig.go(wait_twice)
    [second] = await rig.pending()
    assert second.id != first
    assert (second.kind, second.payload, second.claim) == ("work", {"again": {"n": 1}}, "And now?")
    assert second.expires_at == rig.clock() + timedelta(hours=2)
    assert second.requester == "os:agent"
    await rig.approve()
    await rig.go(wait_twice)
    outcome = await rig.outcome(first)
    assert outcome.result == {"value": [first, second.id, {"again": {"n": 1}}]}
    assert (await rig.outcome(second.id)) == Outcome()
    assert views(rig.desk).shape(Seen(await rig.look(second.id)))["next"] == (
        f"Approved; the flow that asked for it goes on. get-approval with {first} tells how that goes."
    )


async def test_t22_whoever_may_be_the_requester_does_not_approve_what_the_flow_asks_for_them_either(rig: Rig) -> None:
    rig.with_kind(policy=Policy(four_eyes=True))
    await rig.submit({"n": 1})
    for _ in range(2):
        await rig.go(wait_twice)
        [asked] = await rig.pending()
        with pytest.raises(NotAllowed, match="is your own request"):
            await say(rig.desk, said(LOOPBACK, asked))
        await rig.approve(asked.id)


@pytest.mark.parametrize("end", ["rejected", "expired"])
async def test_a_second_approval_that_is_not_given_fails_the_flow(rig: Rig, end: str) -> None:
    first = await rig.submit()
    await rig.approve()
    await rig.go(wait_twice)
    if end == "rejected":
        await rig.reject()
    else:
        rig.clock.advance(timedelta(hours=2))
        assert await timers_of(rig.desk).catch_up() == 1
    await rig.go(wait_twice)
    outcome = await rig.outcome(first)
    assert outcome.state is OutcomeState.FAILED
    assert outcome.error is not None and f"was {end}" in outcome.error


async def test_an_approval_of_another_kind_follows_that_kinds_policy(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> str:
        await approved(step)
        approval = await step.wait_for_approval("other", payload={"what": "this"}, kind=OTHER.name)
        return approval.kind

    first = await rig.submit()
    await rig.approve(first)
    await rig.go(run)
    [other] = await rig.pending()
    assert (other.kind, other.title, other.payload) == ("other", "Other", {"what": "this"})
    await rig.approve(other.id)
    await rig.go(run)
    assert (await rig.outcome(first)).result == {"value": "other"}


async def test_a_rule_approves_nothing_for_a_flow_whose_program_lacks_the_effect(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> Any:
        await approved(step)
        return (await step.wait_for_approval("count", payload={}, kind="counter")).outcome.result

    first = await rig.submit()
    await rig.approve(first)
    by_rule = replace(KINDS["counter"], rules=(Rule(name="always", when={}, decide=Verdict.APPROVE),))
    book = replace(rig.rulebook, kinds={**KINDS, "counter": by_rule})
    lacking = Desk(rig.store, effects=Effects(), rulebook=book, clock=rig.clock)
    assert await runner_of(lacking, {WORK.name: flow_of(run)}).catch_up() == 1
    assert await rig.pending() == []
    assert (await rig.state(first), await rig.ended_as(first)) == (FlowState.RUNNABLE, OutcomeState.RUNNING)

    rig.clock.advance(LEASE)
    await rig.go(run)
    [counter] = await rig.pending()
    await say(rig.desk, said(ANA, counter, answer={"amount": 5}))
    await rig.go(run)
    assert (await rig.outcome(first)).result == {"counter": 5, "increased_by": 5}


async def test_a_kind_that_there_is_not_fails_the_flow(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.wait_for_approval("other", payload={}, kind="nonsense")

    approval_id = await rig.submit()
    await rig.approve()
    await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert outcome.state is OutcomeState.FAILED
    assert outcome.error is not None and "nonsense" in outcome.error


async def test_a_rule_of_the_policy_may_decide_at_once(rig: Rig) -> None:
    rig.with_kind(rules=(Rule(name="small", when={"type": "object"}, decide=Verdict.APPROVE),))
    approval_id = await rig.submit()
    await rig.go(wait_twice)
    outcome = await rig.outcome(approval_id)
    assert outcome.state is OutcomeState.SUCCEEDED
    assert await rig.pending() == []


@pytest.mark.parametrize(
    ("decide", "status"), [("approve", "approved"), ("reject", "rejected"), ("cancel", "cancelled")]
)
async def test_the_flow_is_told_how_it_ended(rig: Rig, decide: str, status: str) -> None:
    approval_id = await rig.submit()
    await rig.go(wait_once)
    if decide == "cancel":
        await rig.desk.approvals.cancel(AGENT, approval_id)
    else:
        await (rig.approve() if decide == "approve" else rig.reject())
    await rig.go(wait_once)
    assert (await rig.outcome(approval_id)).result == {"value": status}


def acting(calls: list[str], how: str) -> Any:
    """A flow that waits and then acts, noting that it did."""

    async def run(value: Any, step: Step) -> None:
        approval = await step.wait_for_approval("people", payload=value)
        if approval.status is not Status.APPROVED:
            raise NotApproved(approval)
        if how == "later":
            await step.sleep("a while", "1 hour")
        if how == "nothing":
            return
        if how == "write":
            await step.write("act", writes(calls))
        else:
            await step.do("act", lambda: calls.append("acted"), at_most_once=how == "once")

    return run


HOWS = ["do", "once", "write", "later"]


@pytest.mark.parametrize("how", [*HOWS, "nothing"])
async def test_t13_what_was_approved_too_long_ago_is_not_acted_on(rig: Rig, how: str) -> None:
    rig.with_kind(policy=Policy(valid_for=timedelta(minutes=30)))
    calls: list[str] = []
    run = acting(calls, how)
    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve()
    if how == "later":
        await rig.go(run)
    rig.clock.advance(timedelta(hours=1))
    await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert (outcome.state, calls) == (OutcomeState.FAILED, [])
    assert outcome.error is not None and "was valid for 30 minutes" in outcome.error


@pytest.mark.parametrize("how", [*HOWS, "nothing"])
async def test_t21_what_somebody_approved_whose_right_is_gone_is_not_acted_on(rig: Rig, how: str) -> None:
    rig.with_kind(policy=Policy(stages=(Stage(("group:finance",)),)))
    rig.rulebook = replace(rig.rulebook, people=People(groups={"finance": frozenset({"os:ana"})}))
    calls: list[str] = []
    run = acting(calls, how)
    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve()
    if how == "later":
        await rig.go(run)
    rig.rulebook = replace(rig.rulebook, people=People(groups={"finance": frozenset({"os:bo"})}))
    rig.clock.advance(timedelta(hours=1))
    await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert (outcome.state, calls) == (OutcomeState.FAILED, [])
    assert outcome.error is not None and "approved by os:ana, whose right was withdrawn" in outcome.error


@pytest.mark.parametrize("now", ["withdrawn", "rejecting"])
@pytest.mark.parametrize("how", [*HOWS, "nothing"])
async def test_t21_what_a_rule_approved_that_is_gone_is_not_acted_on(rig: Rig, how: str, now: str) -> None:
    rule = Rule(name="all", when={}, decide=Verdict.APPROVE)
    rig.with_kind(rules=(rule,))
    calls: list[str] = []
    run = acting(calls, how)
    approval_id = await rig.submit()
    if how == "later":
        await rig.go(run)
    rig.with_kind(rules=() if now == "withdrawn" else (replace(rule, decide=Verdict.REJECT),))
    rig.clock.advance(timedelta(hours=1))
    await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert (outcome.state, calls) == (OutcomeState.FAILED, [])
    assert outcome.error is not None and "rule all" in outcome.error


@pytest.mark.parametrize("kind", [None, "work"])
@pytest.mark.parametrize("how", HOWS)
async def test_t15_while_stopped_nothing_is_acted_on_and_after_it_everything_is_once(
    rig: Rig, how: str, kind: str | None
) -> None:
    calls: list[str] = []
    run = acting(calls, how)
    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve()
    if how == "later":
        await rig.go(run)
        rig.clock.advance(timedelta(hours=1))
    await rig.desk.stops.pause(ANA, kind)
    for _ in range(3):
        await rig.go(run)
    assert calls == []
    assert await rig.state(approval_id) is not FlowState.FAILED
    await rig.desk.stops.resume(ANA, kind)
    await rig.go(run)
    assert (calls, await rig.ended_as(approval_id)) == (["acted"], OutcomeState.SUCCEEDED)


async def test_t13_a_flow_that_has_acted_in_time_is_not_failed_by_its_next_start(rig: Rig) -> None:
    rig.with_kind(policy=Policy(valid_for=timedelta(minutes=30)))
    calls: list[str] = []

    async def run(value: Any, step: Step) -> str:
        await approved(step)
        await step.do("act", lambda: calls.append("acted"))
        await step.sleep("a while", "1 hour")
        return "all is well"

    approval_id = await rig.submit()
    await rig.approve()
    await rig.go(run)
    rig.clock.advance(timedelta(hours=1))
    await rig.go(run)
    assert (await rig.outcome(approval_id)).result == {"value": "all is well"}
    assert calls == ["acted"]


async def test_a_waiting_flow_holds_no_task(rig: Rig) -> None:
    acting, act = anyio.Event(), anyio.Event()

    async def work() -> None:
        acting.set()
        await act.wait()

    async def run(value: Any, step: Step) -> None:
        await approved(step, value)
        await step.do("work", work)

    def held() -> int:
        return sum(bool(re.search(r"Turns\._beside$", task.name or "")) for task in anyio.get_running_tasks())

    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(run)}):
        ids = [await rig.submit({"n": number}) for number in range(40)]
        await until_all(rig, desk, ids, FlowState.WAITING)
        while held():
            await anyio.lowlevel.checkpoint()
        await rig.approve(ids[-1])
        with anyio.fail_after(20):
            await acting.wait()
        assert held() == 1
        act.set()
        await until_all(rig, desk, ids[-1:], FlowState.DONE)


async def test_a_thousand_waiting_flows_cost_one_look_a_second_and_no_more(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = 0

    async def run(value: Any, step: Step) -> str:
        nonlocal runs
        runs += 1
        return await wait_once(value, step)

    async with anyio.create_task_group() as tasks:
        for number in range(1000):
            tasks.start_soon(rig.submit, {"n": number})
    assert await rig.go(run) == 1000

    async def write(work: Any) -> Any:
        raise AssertionError("There is nothing to write.")

    monkeypatch.setattr(Runner, "seconds", 0.01)
    monkeypatch.setattr(rig.store, "write", write)
    before, asked = rig.store.answered.copy(), Counter[str]()
    desk = rig.desk
    async with desk.open(), working(desk.feed, [runner_of(desk, {WORK.name: flow_of(run)})]):
        with anyio.fail_after(20):
            await rig.store.has_answered("flows.runnable", before["runnable"] + 20)
        asked.update(rig.store.answered - before)
    looks = asked["runnable"]
    # Looking is two questions on indexes (and whether there is a stop), whatever waits; nobody reads a waiting flow.
    assert set(asked) <= {"runnable", "next_wake", "mark", "paused", "news", "last_seq"}
    assert asked["next_wake"] <= looks
    assert asked["paused"] <= 2 * (looks + 1)  # once for each kind that has a flow
    assert asked["news"] <= 2
    assert runs == 1000
    monkeypatch.undo()


async def test_the_transaction_that_decides_makes_the_flow_runnable(rig: Rig) -> None:
    approval_id = await rig.submit()
    await rig.go(wait_once)
    await rig.approve()
    assert await rig.state(approval_id) is FlowState.RUNNABLE


async def test_any_process_that_knows_the_kind_may_go_on_and_one_that_does_not_leaves_it_alone(rig: Rig) -> None:
    approval_id = await rig.submit()
    await rig.go(wait_once)
    await rig.approve()
    rig.rulebook = replace(rig.rulebook, kinds={name: kind for name, kind in KINDS.items() if name != WORK.name})
    assert await runner_of(rig.desk).catch_up() == 0
    assert await rig.state(approval_id) is FlowState.RUNNABLE
    rig.rulebook = replace(rig.rulebook, kinds=KINDS)
    assert await rig.go(wait_once) == 1
    assert await rig.state(approval_id) is FlowState.DONE


async def test_another_kinds_stop_holds_a_flow_that_relies_on_its_approval(rig: Rig) -> None:
    calls: list[str] = []

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        other: Approval = await step.wait_for_approval("other", payload={"what": "x"}, kind=OTHER.name)
        assert other.status is Status.APPROVED
        await step.do("act", lambda: calls.append("acted"))

    await rig.submit()
    await rig.approve()
    await rig.go(run)
    await rig.approve()
    await rig.desk.stops.pause(ANA, OTHER.name)
    counted = Counter[int]()
    for _ in range(3):
        counted[await rig.go(run)] += 1
        rig.clock.advance(timedelta(seconds=1))
    assert (calls, counted) == ([], Counter({1: 3}))
    await rig.desk.stops.resume(ANA, OTHER.name)
    await rig.go(run)
    assert calls == ["acted"]


async def until_all(rig: Rig, desk: Desk, ids: list[str], state: FlowState) -> None:
    """Wait until each of these flows stands so; look again after each commit."""

    async def until(approval_id: str) -> None:
        changed = anyio.Event()
        async with desk.feed.listen(approval_id, lambda _: changed.set()):
            while await rig.state(approval_id) is not state:
                with anyio.move_on_after(0.05):  # how a flow stands is no entry of the log, so not every change is told
                    await changed.wait()
                changed = anyio.Event()

    with anyio.fail_after(20):
        for approval_id in ids:
            await until(approval_id)


@pytest.mark.parametrize(
    ("asked_for", "refusal"),
    [
        ({"timeout": "1 hour"}, "which was given 7 days. To give it only 1 hour, set the timeout of its kind."),
        ({"title": "Only for an hour"}, "so it cannot have another kind or title."),
        ({"kind": "other"}, "so it cannot have another kind or title."),
    ],
)
async def test_what_the_first_wait_cannot_give_its_approval_any_more_is_refused(
    rig: Rig, asked_for: dict[str, str], refusal: str
) -> None:
    async def run(value: Any, step: Step) -> None:
        await step.wait_for_approval("people", payload=value, **asked_for)

    approval_id = await rig.submit()
    await rig.go(run)
    ended = await rig.look(approval_id)
    assert (ended.status, ended.outcome.state) == (Status.CANCELLED, OutcomeState.FAILED)
    assert str(ended.outcome.error).endswith(refusal)


@pytest.mark.parametrize("span", ["7 days", "30 days"])
async def test_the_first_wait_may_name_the_time_that_its_kind_gives_or_more(rig: Rig, span: str) -> None:
    async def run(value: Any, step: Step) -> None:
        await step.wait_for_approval("people", payload=value, timeout=span)

    approval_id = await rig.submit()
    await rig.go(run)
    waiting = await rig.look(approval_id)
    assert (waiting.status, waiting.expires_at - waiting.requested_at) == (Status.PENDING, timedelta(days=7))
