"""Waiting costs nothing: one reader for everybody, woken by every process, and let go when it is time."""

import logging
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from desk_samples import AGENT, ANA, KINDS, LONG, LUNCH, Clock, WatchedStore, said, say, views
from samples import START

from mcp_hitl.desk import Desk
from mcp_hitl.desk.feed import ANY
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.kinds import ACTION
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.flows.built_in import EFFECTS

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]


async def test_what_has_ended_is_returned_at_once(served: Desk) -> None:
    opened = await served.approvals.submit(AGENT, "expense", LUNCH)
    approved = await say(served, said(ANA, opened))
    assert await served.approvals.wait(AGENT, opened.id, seconds=LONG) == approved


async def test_a_decision_in_the_process_wakes_its_waiter(served: Desk, store: WatchedStore) -> None:
    opened = await served.approvals.submit(AGENT, "expense", LUNCH)
    got: list[Approval] = []

    async def wait() -> None:
        got.append(await served.approvals.wait(AGENT, opened.id, seconds=LONG))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await store.has_answered("approvals.get")
        await say(served, said(ANA, opened))
    assert got == [await served.approvals.get(AGENT, opened.id)]
    assert got[0].status is Status.APPROVED


async def test_a_decision_of_another_process_wakes_the_waiter(
    served: Desk, elsewhere: Desk, store: WatchedStore
) -> None:
    opened = await served.approvals.submit(AGENT, "expense", LUNCH)
    got: list[Approval] = []

    async def wait() -> None:
        got.append(await served.approvals.wait(AGENT, opened.id, seconds=LONG))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await store.has_answered("approvals.get")
        await say(elsewhere, said(ANA, opened))
    assert got == [await served.approvals.get(AGENT, opened.id)]
    assert got[0].status is Status.APPROVED


async def test_a_step_that_does_not_resolve_lets_the_waiter_sleep(served: Desk, store: WatchedStore) -> None:
    opened = await served.approvals.submit(AGENT, "pair", {"a": 1})
    got: list[Status] = []
    told = anyio.Event()

    async def wait() -> None:
        got.append((await served.approvals.wait(AGENT, opened.id, seconds=LONG)).status)

    async with anyio.create_task_group() as tasks, served.feed.listen(ANY, lambda _: told.set()):
        tasks.start_soon(wait)
        await store.has_answered("approvals.get")
        await say(served, said(ANA, opened))
        await told.wait()
        await anyio.wait_all_tasks_blocked()
        assert (got, store.answered["approvals.get"]) == ([], 1)
        await served.approvals.cancel(AGENT, opened.id)
    assert (got, store.answered["approvals.get"]) == ([Status.CANCELLED], 2)


async def test_a_waiter_for_more_than_the_end_looks_at_each_step(served: Desk, store: WatchedStore) -> None:
    opened = await served.approvals.submit(AGENT, "pair", {"a": 1})
    got: list[Status] = []

    async def wait() -> None:
        decided = await served.approvals.wait(AGENT, opened.id, seconds=LONG, until=lambda seen: bool(seen.decisions))
        got.append(decided.status)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await store.has_answered("approvals.get")
        await say(served, said(ANA, opened))
    assert got == [Status.PENDING]


@pytest.mark.parametrize("seconds", [-1, 0, 0.02])
async def test_when_the_time_is_up_it_is_still_pending(served: Desk, seconds: float) -> None:
    opened = await served.approvals.submit(AGENT, "expense", LUNCH)
    assert await served.approvals.wait(AGENT, opened.id, seconds=seconds) == opened


async def test_what_expires_meanwhile_is_returned_as_expired(store: WatchedStore) -> None:
    began = anyio.current_time()
    kinds = {**KINDS, "brief": replace(ACTION, name="brief", timeout=timedelta(milliseconds=50))}
    desk = Desk(
        store,
        effects=EFFECTS,
        rulebook=Rulebook(kinds=kinds),
        clock=lambda: START + timedelta(seconds=anyio.current_time() - began),
    )
    with anyio.fail_after(LONG / 2):
        async with desk.open():
            opened = await desk.approvals.submit(AGENT, "brief", {"a": 1})
            waited = await desk.approvals.wait(AGENT, opened.id, seconds=LONG)
    assert waited.id == opened.id
    assert views(desk).shape(waited)["status"] == "expired"


async def test_stopping_lets_every_waiter_go_with_what_is_known(served: Desk, store: WatchedStore) -> None:
    opened = [await served.approvals.submit(AGENT, "action", {"n": number}) for number in range(5)]
    got: list[Approval] = []

    async def wait(approval: Approval) -> None:
        got.append(await served.approvals.wait(AGENT, approval.id, seconds=LONG))

    async with anyio.create_task_group() as tasks:
        for approval in opened:
            tasks.start_soon(wait, approval)
        await store.has_answered("approvals.get", 5)
        served.stop()
    assert sorted(approval.id for approval in got) == sorted(approval.id for approval in opened)
    assert {approval.status for approval in got} == {Status.PENDING}
    assert await served.approvals.wait(AGENT, opened[0].id, seconds=LONG) == opened[0]


async def test_the_waiter_is_told_every_so_often_how_long_it_has_been(
    served: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_hitl.desk.approvals.TICK_SECONDS", 0.01)
    opened = await served.approvals.submit(AGENT, "expense", LUNCH)
    ticks: list[float] = []

    async def tick(seconds: float) -> None:
        ticks.append(seconds)
        if len(ticks) == 3:
            await say(served, said(ANA, opened))

    assert (await served.approvals.wait(AGENT, opened.id, seconds=LONG, tick=tick)).status is Status.APPROVED
    assert len(ticks) >= 3
    assert ticks == sorted(ticks)
    assert ticks[0] >= 0.01


async def test_no_tick_comes_after_the_time_is_up(served: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_hitl.desk.approvals.TICK_SECONDS", 0.02)
    opened = await served.approvals.submit(AGENT, "expense", LUNCH)
    ticks: list[float] = []

    async def tick(seconds: float) -> None:
        ticks.append(seconds)

    await served.approvals.wait(AGENT, opened.id, seconds=0.02, tick=tick)
    assert ticks == []


@pytest.mark.parametrize("waiters", [1, 1_000])
async def test_a_thousand_waiters_cost_the_feed_no_more_queries_than_one(
    served: Desk, store: WatchedStore, waiters: int
) -> None:
    watched = await served.approvals.submit(AGENT, "action", {"n": 0})
    others = [await served.approvals.submit(AGENT, "action", {"n": number}) for number in range(1, 6)]
    got: list[Status] = []

    async def wait() -> None:
        got.append((await served.approvals.wait(AGENT, watched.id, seconds=LONG)).status)

    async with anyio.create_task_group() as tasks:
        for _ in range(waiters):
            tasks.start_soon(wait)
        await store.has_answered("approvals.get", waiters)
        await store.has_answered("log.news")
        for other in others:
            await say(served, said(ANA, other))
        assert store.answered["approvals.get"] == waiters  # what is not theirs makes nobody look
        await say(served, said(ANA, watched))
    assert got == [Status.APPROVED] * waiters
    assert store.answered["log.last_seq"] == 1
    # The reader looks once when it begins and for each commit at most twice: when it sees it, and when it is told.
    assert 2 <= store.answered["log.news"] <= 1 + 2 * (len(others) + 1)


async def test_the_feed_reads_nothing_while_nobody_listens(served: Desk, store: WatchedStore) -> None:
    opened = await served.approvals.submit(AGENT, "expense", LUNCH)
    await say(served, said(ANA, opened))
    for _ in range(5):
        async with served.feed.listen(opened.id, lambda _: None):
            pass  # gone before the reader could begin
    await anyio.wait_all_tasks_blocked()
    await served.approvals.submit(AGENT, "action", {"n": 1})
    await anyio.wait_all_tasks_blocked()
    assert store.answered["log.news"] == 0


async def test_the_feed_stops_reading_when_the_last_listener_has_left(served: Desk, store: WatchedStore) -> None:
    opened = await served.approvals.submit(AGENT, "action", {"n": 1})
    async with served.feed.listen(ANY, lambda _: None):
        await store.has_answered("log.news")
    await anyio.wait_all_tasks_blocked()
    before = store.answered["log.news"]
    for number in range(3):
        await served.approvals.submit(AGENT, "action", {"n": number + 2})
    await served.approvals.get(AGENT, opened.id)
    await anyio.wait_all_tasks_blocked()
    assert store.answered["log.news"] == before


async def test_a_listener_hears_of_what_comes_and_never_of_what_was(
    served: Desk, elsewhere: Desk, store: WatchedStore
) -> None:
    old = await served.approvals.submit(AGENT, "action", {"n": 0})
    for round_ in range(3):  # also whoever comes after the feed has slept
        heard: list[str] = []
        mine = anyio.Event()

        def hear(id_: str, heard: list[str] = heard, mine: anyio.Event = mine) -> None:
            heard.append(id_)
            mine.set()

        async with served.feed.listen(ANY, hear):
            new = await (served, elsewhere)[round_ % 2].approvals.submit(AGENT, "action", {"n": round_ + 1})
            await mine.wait()
        assert heard == [new.id]
        await served.approvals.submit(AGENT, "action", {"n": 0})  # asked again while nobody listens
    assert (await served.approvals.get(AGENT, old.id)).asked == 4


async def test_listeners_of_one_approval_hear_of_no_other(served: Desk) -> None:
    one = await served.approvals.submit(AGENT, "action", {"n": 1})
    two = await served.approvals.submit(AGENT, "action", {"n": 2})
    heard: list[str] = []
    everything: list[str] = []
    both = anyio.Event()

    def hear_everything(id_: str) -> None:
        everything.append(id_)
        if len(everything) == 4:
            both.set()

    async with served.feed.listen(one.id, heard.append), served.feed.listen(ANY, hear_everything):
        await say(served, said(ANA, two))
        await say(served, said(ANA, one))
        await both.wait()
    assert everything == [two.id, two.id, one.id, one.id]
    assert heard == [one.id, one.id]


async def test_listeners_hear_of_the_events_that_they_asked_for(served: Desk) -> None:
    opened = await served.approvals.submit(AGENT, "action", {"n": 1})
    heard: list[str] = []
    approved = anyio.Event()
    async with (
        served.feed.listen(opened.id, heard.append, events={Event.DECIDED}),
        served.feed.listen(ANY, lambda _: approved.set(), events={Event.APPROVED}),
    ):
        await say(served, said(ANA, opened))
        await approved.wait()
    assert heard == [opened.id]


async def test_one_listener_leaving_does_not_deafen_another(served: Desk) -> None:
    opened = await served.approvals.submit(AGENT, "action", {"n": 1})
    heard = anyio.Event()
    async with served.feed.listen(opened.id, lambda _: heard.set()):
        async with served.feed.listen(opened.id, lambda _: None):
            pass
        await say(served, said(ANA, opened))
        await heard.wait()
    assert heard.is_set()


async def test_a_feed_that_cannot_be_read_goes_on_when_it_can(
    served: Desk, store: WatchedStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mcp_hitl.desk.feed._PAUSE_AFTER_FAILURE", 0)
    caplog.set_level(logging.WARNING)
    opened = await served.approvals.submit(AGENT, "expense", LUNCH)
    store.fail_next["log.news"] = 2
    got: list[Status] = []

    async def wait() -> None:
        got.append((await served.approvals.wait(AGENT, opened.id, seconds=LONG)).status)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await store.has_answered("approvals.get")
        await say(served, said(ANA, opened))
    assert got == [Status.APPROVED]
    assert caplog.messages == ["the change feed cannot be read: The disk went away."] * 2


async def test_more_news_than_one_look_takes_reaches_everybody(
    served: Desk, elsewhere: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_hitl.desk.feed._AT_ONCE", 2)
    heard: list[str] = []
    all_ = anyio.Event()

    def hear(id_: str) -> None:
        heard.append(id_)
        if len(heard) == 7:
            all_.set()

    async with served.feed.listen(ANY, hear):
        opened = [(await elsewhere.approvals.submit(AGENT, "action", {"n": number})).id for number in range(7)]
        await all_.wait()
    assert heard == opened


async def test_a_waiter_that_is_cancelled_leaves_nothing_behind(served: Desk, store: WatchedStore) -> None:
    opened = await served.approvals.submit(AGENT, "expense", LUNCH)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(lambda: served.approvals.wait(AGENT, opened.id, seconds=LONG))
        await store.has_answered("approvals.get", 10)
        tasks.cancel_scope.cancel()
    await anyio.wait_all_tasks_blocked()
    before = store.answered.total()
    await say(served, said(ANA, opened))
    await anyio.wait_all_tasks_blocked()
    assert store.answered.total() == before


async def test_everything_but_waiting_works_without_following_the_feed(desk: Desk, clock: Clock) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    clock.advance(timedelta(seconds=1))
    assert (await say(desk, said(ANA, opened))).resolved_at == clock()
