"""A clock that leaps ahead while its computer runs expires nothing until a person has confirmed it."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from computers import Computer
from desk_samples import AGENT, ANA, said, say
from samples import START

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.clock import LEAP
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.process.workers import timers_of

pytestmark = pytest.mark.anyio
DAY, YEARS = timedelta(days=1), timedelta(days=3650)


async def status(desk: Desk, approval_id: str) -> Status:
    """What everybody sees, after the timers had their turn."""
    await timers_of(desk).catch_up()
    return (await desk.approvals.get(AGENT, approval_id)).status


@pytest.mark.parametrize("leap", [8 * DAY, YEARS], ids=str)
async def test_t44_a_clock_that_is_ahead_for_three_seconds_expires_nothing(computer: Computer, leap: timedelta) -> None:
    old = await computer.process()
    approval = await old.approvals.submit(AGENT, "action", {"n": 1})
    computer.passes(timedelta(minutes=1))
    computer.wall += leap
    new = await computer.process()
    for desk in (old, new):
        assert await status(desk, approval.id) is Status.PENDING
        assert desk.clock() == START + timedelta(minutes=1)
    assert await computer.found() == {"clock-leapt"}
    computer.passes(timedelta(seconds=3))
    computer.wall -= leap
    for desk in (old, new, await computer.process()):
        assert await status(desk, approval.id) is Status.PENDING
        assert desk.clock() == computer.wall
    assert await computer.found() == set()
    await say(old, said(ANA, approval))
    times = [recorded.entry.at for recorded in await old.evidence.entries()]
    assert times == sorted(times) and times[-1] <= computer.wall


async def test_t44_what_a_process_writes_when_it_starts_does_not_make_a_leap_believed(computer: Computer) -> None:
    old = await computer.process()
    approval = await old.approvals.submit(AGENT, "action", {"n": 1})
    computer.wall += YEARS
    computer.rulebook = replace(computer.rulebook, written=True, digest="sha256:another")
    for desk in (await computer.process(), old, await computer.process()):
        await desk.check_clock()
        assert await status(desk, approval.id) is Status.PENDING
    assert [one.entry.event for one in await old.evidence.entries()] == [Event.OPENED, Event.POLICY_CHANGED]
    assert await old.read(lambda view: view.facts.mark()) == START


async def test_t44_time_goes_on_though_the_clock_is_not_believed(computer: Computer) -> None:
    desk = await computer.process()
    approval = await desk.approvals.submit(AGENT, "action", {"n": 1})
    computer.wall += YEARS
    computer.passes(7 * DAY - timedelta(seconds=1))
    assert await status(desk, approval.id) is Status.PENDING
    computer.passes(timedelta(seconds=1))
    assert await status(desk, approval.id) is Status.EXPIRED


async def test_t44_a_person_confirms_a_leap_and_every_process_follows(computer: Computer) -> None:
    desk, terminal = await computer.process(), await computer.process()
    approval = await desk.approvals.submit(AGENT, "action", {"n": 1})
    computer.wall += 8 * DAY
    assert await status(desk, approval.id) is Status.PENDING
    await terminal.stops.reset_clock(ANA)
    await desk.check_clock()  # which the entry wakes
    for one in (desk, terminal, await computer.process()):
        assert one.clock() == computer.wall
        assert await status(one, approval.id) is Status.EXPIRED
    assert await computer.found() == set()


async def test_t44_nights_weekends_and_holidays_need_nobody_to_confirm_them(computer: Computer) -> None:
    for rest in (DAY / 2, 3 * DAY, 30 * DAY, DAY / 2):
        desk = await computer.process()
        computer.passes(rest)  # asleep
        assert desk.clock() == (await computer.process()).clock() == computer.wall
        computer.is_off(rest)
        desk = await computer.process()
        assert desk.clock() == computer.wall
        computer.wall += min(rest, LEAP)  # a virtual machine that was paused
        assert desk.clock() == (await computer.process()).clock() == computer.wall
        await desk.check_clock()
        assert await computer.found() == set()


@pytest.mark.parametrize(("running", "right"), [(timedelta(minutes=1), 20 * DAY), (DAY, DAY)], ids=["early", "late"])
async def test_t44_a_clock_that_is_set_right_after_a_start_is_believed(
    computer: Computer, running: timedelta, right: timedelta
) -> None:
    await (await computer.process()).approvals.submit(AGENT, "action", {"n": 1})
    computer.wall, computer.running, computer.boot = START - YEARS, running, "second"
    desk = await computer.process()
    computer.wall = START + right
    await desk.check_clock()
    assert desk.clock() == computer.wall and await computer.found() == set()


@pytest.mark.parametrize("back", [timedelta(milliseconds=300), timedelta(hours=5), 2 * DAY, YEARS], ids=str)
async def test_t44_the_times_of_the_log_run_backwards_only_where_it_says_so(
    computer: Computer, back: timedelta
) -> None:
    desk = await computer.process()
    await desk.approvals.submit(AGENT, "action", {"n": 1})
    computer.wall -= back
    await desk.approvals.submit(AGENT, "action", {"n": 2})
    await desk.approvals.submit(AGENT, "action", {"n": 3})
    entries = [one.entry for one in await desk.evidence.entries()]
    earlier = [later for before, later in pairwise(entries) if later.at < before.at]
    assert [one.event for one in earlier] == ([Event.CLOCK_SET_BACK] if back > DAY else [])
    assert [one.data for one in earlier] == [{"was": rfc3339(START)}] * len(earlier)
    assert (await desk.evidence.verify()).wrong is None


async def test_t44_another_computer_on_the_same_database_does_not_make_a_leap_believed(
    computer: Computer, tmp_path: Path
) -> None:
    other = Computer(tmp_path / "hitl.db")
    other.boot = "another-computers"
    old = await computer.process()
    approval = await old.approvals.submit(AGENT, "action", {"n": 1})
    for one in (computer, other):
        one.passes(timedelta(minutes=1))
    beside = await other.process()
    computer.wall += YEARS
    new = await computer.process()
    assert new.clock() == beside.clock() == START + timedelta(minutes=1)
    assert await status(new, approval.id) is Status.PENDING
    known = await old.read(lambda view: view.execute("SELECT value FROM facts WHERE name = 'boot'"))
    for desk in (beside, new, beside):
        await desk.check_clock()
    assert await old.read(lambda view: view.execute("SELECT value FROM facts WHERE name = 'boot'")) == known
    await other.store.close()
