"""The emergency stop: nothing is decided, redeemed or run meanwhile; asking goes on."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from desk_samples import Clock, hour, said, say
from team_samples import AGENT, FINANCE, PAIR, a_kind, a_rulebook, after, edited, person, told

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.evidence.chain import NOWHERE
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance, Policy, Stage, Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid, NotAllowed, Paused
from mcp_hitl.process.workers import timers_of

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]
CY = person("cy")
BOOK = a_rulebook(PAIR)
TWO = replace(BOOK, kinds={**BOOK.kinds, "other": replace(a_kind(PAIR), name="other")})


@pytest.mark.parametrize("kind", [None, "thing"])
async def test_nothing_is_decided_or_edited_while_the_stop_is_on_and_asking_goes_on(
    under: Under, kind: str | None
) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    assert await desk.stops.pause(CY, kind) is True
    for verdict in Verdict:
        with pytest.raises(Paused):
            await say(desk, said(person("ana"), asked, verdict))
    with pytest.raises(Paused):
        await edited(desk, person("ana"), asked, {"n": 2})
    assert await desk.approvals.get(AGENT, asked.id) == asked
    assert (await desk.approvals.submit(AGENT, "thing", {"n": 2})).status is Status.PENDING
    assert (await desk.approvals.submit(AGENT, "thing", {"n": 1})).asked == 2
    assert await desk.stops.resume(CY, kind) is True
    assert await told(desk, asked, "ana approves") == "stage 1, 1 of 2"


async def test_a_requester_may_take_back_what_is_stopped(under: Under) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await desk.stops.pause(CY)
    assert await told(desk, asked, "agent cancels") == "cancelled"


async def test_one_kind_is_stopped_and_the_others_go_on(under: Under) -> None:
    desk = under(TWO)
    thing, other = [await desk.approvals.submit(AGENT, kind, {"n": 1}) for kind in ("thing", "other")]
    await desk.stops.pause(CY, "thing")
    assert (await told(desk, thing, "ana approves")).startswith("paused: The emergency stop is on")
    assert await told(desk, other, "ana approves") == "stage 1, 1 of 2"


async def test_the_stop_of_everything_and_that_of_a_kind_are_ended_each_for_itself(under: Under) -> None:
    desk = under(TWO)
    thing, other = [await desk.approvals.submit(AGENT, kind, {"n": 1}) for kind in ("thing", "other")]
    await desk.stops.pause(CY)
    await desk.stops.pause(CY, "thing")
    assert await desk.stops.resume(CY) is True
    assert (await told(desk, thing, "ana approves")).startswith("paused")
    assert await told(desk, other, "ana approves") == "stage 1, 1 of 2"
    await desk.stops.pause(CY)
    assert await desk.stops.resume(CY, "thing") is True
    assert (await told(desk, thing, "ana approves")).startswith("paused")


async def test_stopping_twice_is_once_and_is_recorded_once_with_who_did_it(under: Under) -> None:
    desk = under(BOOK)
    assert [await desk.stops.pause(CY, "thing"), await desk.stops.pause(person("ana.b"), "thing")] == [True, False]
    assert [await desk.stops.resume(person("ana.b"), "thing"), await desk.stops.resume(CY, "thing")] == [True, False]
    entries = [recorded.entry for recorded in await desk.evidence.entries()]
    assert [(entry.approval, entry.event, entry.actor, entry.data) for entry in entries] == [
        (NOWHERE, Event.PAUSED, "cy", {"kind": "thing"}),
        (NOWHERE, Event.RESUMED, "ana", {"kind": "thing"}),
    ]
    assert (await desk.evidence.verify()).wrong is None


async def test_a_kind_of_another_programs_can_be_stopped_by_its_name_alone(under: Under) -> None:
    assert await under(BOOK).stops.pause(CY, "thingy") is True
    with pytest.raises(Invalid, match="plain name"):
        await under(BOOK).stops.pause(CY, "thing\u202e")


async def test_the_stop_holds_for_every_process(under: Under, elsewhere: Desk) -> None:
    elsewhere.rulebook = BOOK
    asked = await elsewhere.approvals.submit(AGENT, "thing", {"n": 1})
    await under(BOOK).stops.pause(CY)
    assert (await told(elsewhere, asked, "ana approves")).startswith("paused")


async def test_time_goes_on_meanwhile(under: Under, clock: Clock) -> None:
    policy = Policy(stages=(Stage(FINANCE.approvers, escalate=(after(1, "group:board"),)),), remind_after=(hour(2),))
    desk = under(a_rulebook(policy))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await desk.stops.pause(CY)
    clock.advance(timedelta(days=7))
    await timers_of(desk).catch_up()
    events = [recorded.entry.event for recorded in (await desk.approvals.trail(AGENT, asked.id)).entries]
    assert events == [Event.OPENED, Event.ESCALATED, Event.REMINDED, Event.EXPIRED]


async def test_a_cooldown_can_be_lifted_meanwhile_by_who_may(under: Under) -> None:
    desk = under(BOOK)
    rejected = await say(
        desk, said(person("ana"), await desk.approvals.submit(AGENT, "thing", {"n": 1}), Verdict.REJECT)
    )
    await desk.stops.pause(CY)
    with pytest.raises(NotAllowed):
        await desk.decisions.lift_cooldown(AGENT, rejected.id, assurance=Assurance.LOCAL)
    assert (
        await desk.decisions.lift_cooldown(person("bo"), rejected.id, assurance=Assurance.LOCAL)
    ).cooldown_until is None
