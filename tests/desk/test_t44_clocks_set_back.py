"""A clock that is set back stops nothing, and nothing lasts longer than it may."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from computers import Computer
from desk_samples import AGENT, ANA, KINDS, Clock, said, say

from mcp_hitl.desk import Desk
from mcp_hitl.desk.transactions.log_entries import notice_older_copy
from mcp_hitl.desk.transactions.restore import restored
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.session import LINK_LIFE, SESSION_LIFE
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.kinds import Limits
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import NotAllowed, TooMany
from mcp_hitl.process.workers import timers_of
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WITHIN_A_DAY = [HOUR, 23 * HOUR]
FURTHER = [2 * DAY, 3650 * DAY]


@pytest.fixture
async def going(computer: Computer) -> AsyncGenerator[Desk]:
    """The desk of a process that has been going on for a while; a requester may ask twice a minute."""
    thing = replace(KINDS["action"], limits=Limits(per_minute=2), timeout=10 * MINUTE)
    computer.rulebook = Rulebook(kinds=KINDS | {"action": thing})
    desk = await computer.process()
    await ask(desk, 0)
    computer.passes(MINUTE)
    desk.clock()  # which its timers do every second
    yield desk


async def ask(desk: Desk, n: int) -> str:
    """Ask for something; the approval's id."""
    return (await desk.approvals.submit(AGENT, "action", {"n": n})).id


@pytest.mark.parametrize("back", WITHIN_A_DAY, ids=str)
async def test_t44_whoever_is_to_wait_a_minute_waits_two_at_most(
    computer: Computer, going: Desk, back: timedelta
) -> None:
    computer.wall -= back
    for n in (1, 2):
        await ask(going, n)
    with pytest.raises(TooMany, match="Wait a minute"):
        await ask(going, 3)
    computer.passes(2 * MINUTE + SECOND)
    await going.check_clock()  # which it does every minute
    await ask(await computer.process(), 3)
    await ask(going, 4)


@pytest.mark.parametrize("back", WITHIN_A_DAY, ids=str)
async def test_t44_what_has_ten_minutes_has_twenty_at_most(computer: Computer, going: Desk, back: timedelta) -> None:
    approval_id, code = await ask(going, 1), await going.inbox.offer_link(ANA)
    assert LINK_LIFE == 10 * MINUTE
    computer.wall -= back
    for _ in range(20):
        going.clock()
        computer.passes(MINUTE)
    assert await timers_of(going).catch_up() == 2
    assert (await going.approvals.get(AGENT, approval_id)).status is Status.EXPIRED
    with pytest.raises(NotAllowed, match="more than ten minutes old"):
        await going.inbox.sign_in(code)


async def test_t44_the_time_never_runs_backwards_while_the_clock_catches_up(computer: Computer, going: Desk) -> None:
    times = [going.clock()]
    computer.wall -= HOUR
    while computer.wall < times[-1] or len(times) < 10:
        computer.passes(MINUTE)
        await going.check_clock()
        if len(times) % 30 == 0:
            going = await computer.process()
        times.append(going.clock())
    assert times == sorted(times) and times[-1] == computer.wall
    assert len(times) <= 123


async def test_t44_a_person_who_resets_the_clock_need_not_wait_until_it_has_caught_up(
    computer: Computer, going: Desk
) -> None:
    computer.wall -= HOUR
    await ask(going, 1)
    assert going.clock() > computer.wall + HOUR - SECOND
    await (await computer.process()).stops.reset_clock(ANA)
    await going.check_clock()  # which the entry wakes
    assert going.clock() == computer.wall == (await computer.process()).clock()
    assert await computer.found() == set()


@pytest.mark.parametrize("back", FURTHER, ids=str)
async def test_t44_sessions_and_links_of_a_clock_that_was_far_ahead_are_void(
    computer: Computer, going: Desk, back: timedelta
) -> None:
    code = await going.inbox.offer_link(ANA)
    held = await going.inbox.sign_in(await going.inbox.offer_link(ANA))
    assert await going.inbox.session(held.secret) and await going.inbox.lasts(held.session)
    computer.wall -= back
    assert await going.inbox.session(held.secret) is None and not await going.inbox.lasts(held.session)
    with pytest.raises(NotAllowed):
        await going.inbox.sign_in(code)
    computer.wall += back  # it was set back for some seconds only
    assert await going.inbox.session(held.secret)
    await going.inbox.sign_in(code)


@pytest.mark.parametrize("back", [timedelta(milliseconds=300), *WITHIN_A_DAY], ids=str)
async def test_t44_a_small_step_back_signs_nobody_out(computer: Computer, going: Desk, back: timedelta) -> None:
    held = await going.inbox.sign_in(await going.inbox.offer_link(ANA))
    computer.wall -= back
    for desk in (going, await computer.process()):
        assert await desk.inbox.session(held.secret)
    computer.passes(2 * SESSION_LIFE)
    assert await going.inbox.session(held.secret) is None


@pytest.mark.parametrize("back", [HOUR, *FURTHER], ids=str)
async def test_t18_nobody_is_said_to_have_decided_too_fast_because_the_clock_was_set_back(
    computer: Computer, going: Desk, back: timedelta
) -> None:
    approval = await going.approvals.get(AGENT, await ask(going, 1))
    shown = Shown.of(approval, at=going.clock())
    computer.passes(MINUTE)
    computer.wall -= back
    vote = said(ANA, approval, Verdict.APPROVE)
    decided = await going.decisions.decide(ANA, shown, vote.verdict, assurance=vote.assurance)
    assert not decided.decisions[0].hasty


@pytest.mark.parametrize("back", [HOUR, *FURTHER], ids=str)
@pytest.mark.parametrize("by_a_person", [True, False])
async def test_t43_a_copy_that_is_put_back_after_the_clock_was_set_back_keeps_the_log_in_order(
    computer: Computer, going: Desk, back: timedelta, *, by_a_person: bool
) -> None:
    await ask(going, 1)
    computer.wall -= back
    later = computer.timekeeper()

    def put_back(tx: Transaction) -> None:
        if by_a_person:
            restored(tx, ANA, later)
        else:
            tx.log.kept = (99, "sha256:known before")  # pyright: ignore[reportAttributeAccessIssue]
            notice_older_copy(tx, later())

    await computer.store.write(put_back)
    entries = [one.entry for one in await going.evidence.entries()]
    earlier = [after.event for before, after in pairwise(entries) if after.at < before.at]
    assert earlier == ([Event.CLOCK_SET_BACK] if back > DAY else [])
    assert entries[-1].event is Event.RESTORED


async def test_t44_what_everybody_sees_as_expired_is_recorded_though_the_clock_was_set_back(
    desk: Desk, clock: Clock
) -> None:
    approval = await desk.approvals.submit(AGENT, "action", {"n": 1})
    clock.now = approval.expires_at
    await desk.approvals.submit(AGENT, "action", {"n": 2})
    clock.advance(-HOUR)
    assert (await desk.approvals.get(AGENT, approval.id)).status is Status.EXPIRED
    assert await timers_of(desk).catch_up() == 1
    await say(desk, said(ANA, (await desk.search.pending(ANA)).approvals[0]))
