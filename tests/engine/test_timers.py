"""What time does: reminders, the escalation ladder, expiry; each once, in order, whatever the clock did."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from desk_samples import Clock, WatchedStore, hour, said, say, views
from team_samples import AGENT, FINANCE, LADDER, PAIR, a_rulebook, after, edited, person, told

from mcp_hitl.config.location import Location
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.evidence.chain import SYSTEM
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Policy, Stage
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import AlreadyResolved, Conflict, HitlError
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import serve, timers_of
from mcp_hitl.store.opening import open_store

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]
Under = Callable[[Rulebook], Desk]
WEEK = timedelta(days=7)
TICK = timedelta(milliseconds=1)
STEPS = Policy(
    stages=(
        Stage(("group:finance",), escalate=(after(24, "group:managers"), after(48, "group:board", "zoe"))),
        Stage(("group:board",), escalate=(after(10, "zoe"),)),
    ),
    remind_after=(hour(4), hour(30)),
)
BOOK = a_rulebook(STEPS)


async def happened(desk: Desk, approval: Approval) -> list[str]:
    """What time did so far: what, and when it was due, in hours since it was asked for."""
    entries = [recorded.entry for recorded in (await desk.approvals.trail(AGENT, approval.id)).entries]
    began = approval.requested_at
    timed = {Event.REMINDED, Event.ESCALATED, Event.EXPIRED}
    due = {rfc3339(began + hour(count)): f" due {count}" for count in range(24 * 8)}
    return [entry.event.value + due.get(entry.data.get("due", ""), "") for entry in entries if entry.event in timed]


async def test_a_ladder_widens_who_may_decide(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    timers = timers_of(desk)
    clock.advance(hour(24) - TICK)
    assert await timers.catch_up() == 1  # the first reminder
    assert (await told(desk, asked, "cy approves")).startswith("not_allowed")
    clock.advance(TICK)
    assert await timers.catch_up() == 1
    assert (await desk.approvals.get(AGENT, asked.id)).escalated == ("group:managers",)
    assert (await told(desk, asked, "di approves")).startswith("not_allowed")
    clock.advance(hour(24))
    assert await timers.catch_up() == 1
    assert (await desk.approvals.get(AGENT, asked.id)).escalated == ("group:managers", "group:board", "zoe")
    assert await happened(desk, asked) == [
        "reminded due 4",
        "escalated due 24",
        "reminded due 30",
        "escalated due 48",
    ]
    assert await told(desk, asked, "zoe approves") == "stage 2, 0 of 1"  # the first stage, that is


async def test_reminders_and_escalations_name_what_they_are(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(hour(31))
    await timers_of(desk).catch_up()
    entries = [recorded.entry for recorded in (await desk.approvals.trail(AGENT, asked.id)).entries][1:]
    assert [(entry.actor, entry.established, entry.at) for entry in entries] == [(SYSTEM, None, clock())] * 3
    assert [entry.data for entry in entries] == [
        {"due": rfc3339(asked.requested_at + hour(4)), "number": 1},
        {"due": rfc3339(asked.requested_at + hour(24)), "to": ["group:managers"]},
        {"due": rfc3339(asked.requested_at + hour(30)), "number": 2},
    ]


async def test_expiry_is_recorded_once_and_never_approves(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(PAIR))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await told(desk, asked, "ana approves")
    clock.advance(WEEK)
    assert [await timers_of(desk).catch_up() for _ in range(3)] == [1, 0, 0]
    expired = await desk.approvals.get(AGENT, asked.id)
    assert (expired.status, expired.resolved_at, expired.cooldown_until) == (Status.EXPIRED, clock(), None)
    assert await happened(desk, asked) == ["expired"]
    assert (await told(desk, asked, "bo approves")).startswith("already_resolved")
    assert (await desk.evidence.verify()).wrong is None


async def test_after_a_long_sleep_everything_happens_in_its_order(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    first = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(hour(1))
    second = await desk.approvals.submit(AGENT, "thing", {"n": 2})
    clock.advance(timedelta(days=100))
    assert await timers_of(desk).catch_up() == 2
    everything = ["reminded due 4", "escalated due 24", "reminded due 30", "escalated due 48", "expired"]
    assert await happened(desk, first) == await happened(desk, second) == everything
    ended = [one.entry.approval for one in await desk.evidence.entries() if one.entry.event is Event.EXPIRED]
    assert ended == [first.id, second.id]


async def test_more_than_a_page_falls_due_at_once(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(PAIR))
    for n in range(250):
        await desk.approvals.submit(AGENT, "thing", {"n": n})
    clock.advance(WEEK)
    assert await timers_of(desk).catch_up() == 250
    assert (await desk.evidence.verify()).entries == 500


async def test_a_new_stage_begins_its_times_anew(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    timers = timers_of(desk)
    clock.advance(hour(25))
    await timers.catch_up()
    assert await told(desk, asked, "cy approves") == "stage 2, 0 of 1"
    now = await desk.approvals.get(AGENT, asked.id)
    assert (now.stage_since, now.timed_to, now.escalated) == (clock(), clock(), ())
    assert (await told(desk, asked, "zoe approves")).startswith("not_allowed")
    clock.advance(hour(4) - TICK)
    assert await timers.catch_up() == 0
    clock.advance(TICK)
    assert await timers.catch_up() == 1
    clock.advance(hour(6))
    assert await timers.catch_up() == 1
    assert await happened(desk, asked) == ["reminded due 4", "escalated due 24", "reminded due 29", "escalated due 35"]
    assert await told(desk, asked, "zoe approves") == "approved"


async def test_one_of_two_approvals_of_a_stage_does_not_begin_it_anew(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(replace(PAIR, remind_after=(hour(4),))))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(hour(3))
    await told(desk, asked, "ana approves")
    clock.advance(hour(1))
    await timers_of(desk).catch_up()
    assert await happened(desk, asked) == ["reminded due 4"]


async def test_an_edit_begins_the_times_anew_and_takes_back_an_escalation(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(hour(24))
    await timers_of(desk).catch_up()
    now = await edited(desk, person("cy"), asked, {"n": 2})
    assert (now.stage_since, now.escalated, now.expires_at) == (clock(), (), asked.expires_at)
    assert (await told(desk, asked, "cy approves")).startswith("not_allowed")
    clock.advance(hour(24))
    await timers_of(desk).catch_up()
    assert await happened(desk, asked) == ["reminded due 4", "escalated due 24", "reminded due 28", "escalated due 48"]


async def test_what_was_decided_is_left_in_peace(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    one, two = [await desk.approvals.submit(AGENT, "thing", {"n": n}) for n in (1, 2)]
    await told(desk, one, "ana rejects")
    await desk.approvals.cancel(AGENT, two.id)
    clock.advance(WEEK)
    assert await timers_of(desk).catch_up() == 0
    assert await happened(desk, one) == await happened(desk, two) == []


async def test_a_restart_forgets_nothing_and_repeats_nothing(desk: Desk, database: Location, clock: Clock) -> None:
    desk.rulebook = BOOK
    asked, began = await desk.approvals.submit(AGENT, "thing", {"n": 1}), clock()
    for at, done in ((5, 1), (5, 0), (26, 1), (40, 1), (24 * 7, 1), (24 * 8, 0)):
        clock.now = began + hour(at)
        store = open_store(database)
        assert await timers_of(Desk(store, effects=EFFECTS, rulebook=BOOK, clock=clock)).catch_up() == done
        await store.close()
    assert await happened(desk, asked) == [
        "reminded due 4",
        "escalated due 24",
        "reminded due 30",
        "escalated due 48",
        "expired",
    ]
    assert (await desk.evidence.verify()).wrong is None


async def test_t12_an_escalated_approver_who_answers_after_expiry_is_refused(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(hour(48))
    await timers_of(desk).catch_up()
    shown = await desk.approvals.get(AGENT, asked.id)
    clock.advance(WEEK - hour(48))
    with pytest.raises(AlreadyResolved, match="was expired"):  # before anybody recorded it
        await say(desk, said(person("zoe"), shown))
    await timers_of(desk).catch_up()
    with pytest.raises(AlreadyResolved, match="was expired"):
        await say(desk, said(person("zoe"), shown))
    assert (await desk.approvals.get(AGENT, asked.id)).decisions == ()


async def test_t12_an_escalated_approver_who_answers_after_the_next_revision_is_refused(
    under: Under, clock: Clock
) -> None:
    desk = under(BOOK)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(hour(24))
    await timers_of(desk).catch_up()
    await edited(desk, person("ana"), asked, {"n": 2})
    with pytest.raises(Conflict):
        await say(desk, said(person("cy"), asked))
    assert (await told(desk, asked, "cy approves")).startswith("not_allowed")


async def test_t14_a_clock_that_is_set_back_revives_nothing(under: Under, elsewhere: Desk, clock: Clock) -> None:
    desk = under(a_rulebook(PAIR))
    elsewhere.rulebook = desk.rulebook
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(WEEK)
    await desk.approvals.submit(AGENT, "thing", {"n": 2})  # the latest instant is recorded; nobody recorded the expiry
    for back in (TICK, hour(), hour(24)):
        clock.advance(-back)
        for each in (desk, elsewhere):
            assert views(each).shape(await each.approvals.get(AGENT, asked.id))["status"] == "expired"
            assert " is expired " in views(each).summary(await each.approvals.get(AGENT, asked.id))
            assert asked.id not in [one.id for one in (await each.search.pending(AGENT)).approvals]
            with anyio.fail_after(5):
                waited = await desk.approvals.get(AGENT, asked.id)
            assert waited.status is Status.EXPIRED
            with pytest.raises(AlreadyResolved):
                await say(each, said(person("ana"), asked))
            with pytest.raises(AlreadyResolved):
                await edited(each, person("ana"), asked, {"n": 3})
            with pytest.raises(AlreadyResolved):
                await each.approvals.cancel(AGENT, asked.id)
        clock.advance(back)
    assert (await desk.approvals.submit(AGENT, "thing", {"n": 1})).id != asked.id


async def test_t14_time_stands_still_until_the_clock_has_caught_up(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(PAIR))
    await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(-hour())
    late = await desk.approvals.submit(AGENT, "thing", {"n": 2})
    assert late.requested_at == clock() + hour()
    clock.advance(hour(2))
    assert (await desk.approvals.submit(AGENT, "thing", {"n": 3})).requested_at == clock()
    stamps = [recorded.entry.at for recorded in await desk.evidence.entries()]
    assert stamps == sorted(stamps)


async def test_t14_a_clock_that_ran_ahead_and_was_corrected_expires_nothing_by_mistake(
    under: Under, clock: Clock
) -> None:
    desk = under(a_rulebook(PAIR))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(timedelta(days=365))
    await desk.approvals.submit(AGENT, "thing", {"n": 2})  # leaves its mark a year ahead
    clock.advance(-timedelta(days=365))
    assert (await desk.approvals.get(AGENT, asked.id)).status is Status.PENDING
    assert asked.id in [one.id for one in (await desk.search.pending(AGENT)).approvals]
    await timers_of(desk).catch_up()
    assert (await desk.approvals.get(AGENT, asked.id)).status is Status.PENDING
    assert await told(desk, asked, "ana approves") == "stage 1, 1 of 2"
    clock.advance(WEEK)
    await timers_of(desk).catch_up()
    assert (await desk.approvals.get(AGENT, asked.id)).status is Status.EXPIRED


async def test_t14_a_cooldown_outlives_a_clock_that_is_set_back(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(PAIR))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await told(desk, asked, "ana rejects")
    clock.advance(-hour())
    assert (await desk.approvals.submit(AGENT, "thing", {"n": 1})).id == asked.id


async def test_timers_wait_for_a_database_that_cannot_be_read_now(
    store: WatchedStore, under: Under, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mcp_hitl.process.workers._RETRY_SECONDS", 0.001)
    desk = under(a_rulebook(PAIR))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(WEEK)
    store.fail_next["sweeps.due"] = 1
    with anyio.fail_after(20):
        async with serve(desk), anyio.create_task_group() as tasks:
            gone = anyio.Event()

            async def watch() -> None:
                async with desk.feed.listen(asked.id, lambda _: gone.set()):
                    if (await store.read(lambda view: view.approvals.get(asked.id).status)) is Status.PENDING:  # type: ignore[union-attr] # pyright: ignore[reportOptionalMemberAccess]
                        await gone.wait()

            tasks.start_soon(watch)
    assert "the timers cannot run: The disk went away." in caplog.text
    assert await happened(desk, asked) == ["expired"]


@pytest.mark.parametrize(
    "change",
    [
        "policy = json_set(policy, '$.stages', json('[]'))",
        "policy = '{'",
        "stage_since = 9000000000000000",
        "payload = 'no JSON', revision = 2",
    ],
)
async def test_what_cannot_be_read_is_left_out_and_told_once_and_the_others_have_their_time(
    under: Under,
    clock: Clock,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    change: str,
) -> None:
    monkeypatch.setattr("mcp_hitl.engine.timers._AT_ONCE", 2)
    desk = under(a_rulebook(PAIR))
    spoilt = [await desk.approvals.submit(AGENT, "thing", {"n": n}) for n in range(3)]
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 3})
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        for one in spoilt:
            db.execute(f"UPDATE approvals SET {change}, next_at = 1 WHERE id = ?", (one.id,))
    clock.advance(WEEK)
    timers = timers_of(desk)
    assert await timers.catch_up() == 1
    assert await happened(desk, asked) == ["expired"]
    assert await timers.catch_up() == 0
    assert [record.message.split(":")[0] for record in caplog.records] == [
        f"{one.id} cannot be read, so its timers do not run" for one in spoilt
    ]


async def test_a_decision_and_the_timers_at_once_make_one_end(under: Under, elsewhere: Desk, clock: Clock) -> None:
    desk = under(a_rulebook(LADDER))
    elsewhere.rulebook = desk.rulebook
    assert FINANCE in LADDER.stages
    for n in range(20):
        asked = await desk.approvals.submit(AGENT, "thing", {"n": n})
        clock.advance(WEEK)
        codes: list[str] = []

        async def cancel(one: Approval = asked, into: list[str] = codes) -> None:
            try:
                await desk.approvals.cancel(AGENT, one.id)
            except HitlError as error:
                into.append(error.code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(timers_of(elsewhere).catch_up)
            tasks.start_soon(timers_of(desk).catch_up)
            tasks.start_soon(cancel)
        assert codes == ["already_resolved"]
        assert await happened(desk, asked) == ["expired"]
