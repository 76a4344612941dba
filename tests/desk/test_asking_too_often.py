"""Floods, repeated questions, and the same question in other words."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from desk_samples import Clock, hour, said, say, views
from team_samples import AGENT, LADDER, PAIR, a_rulebook, person, told

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.policy.kinds import Limits
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.errors import HitlError, Invalid, TooMany
from mcp_hitl.present.approval_views import review

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]
ANA = person("ana")


async def asked(desk: Desk, n: int) -> str:
    """The status of what was asked for, or the code with which it was refused."""
    try:
        return (await desk.approvals.submit(AGENT, "thing", {"n": n})).status.value
    except HitlError as error:
        return error.code


async def stored(desk: Desk) -> tuple[int, int]:
    """How many are pending, and how many entries there are."""
    return (await desk.search.pending(ANA)).total, len(await desk.evidence.entries())


async def test_t37_a_requester_has_so_many_open_and_no_more(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(PAIR, limits=Limits(open_per_requester=3)))
    assert [await asked(desk, n) for n in range(20)] == ["pending"] * 3 + ["too_many"] * 17
    assert await stored(desk) == (3, 3)
    with pytest.raises(TooMany, match=r"You have 3 open requests of the kind 'thing'\. Wait until some are decided"):
        await desk.approvals.submit(AGENT, "thing", {"n": 20})
    assert await asked(desk, 0) == "pending"  # what is open already can be asked for again
    assert (await desk.approvals.submit(person("other"), "thing", {"n": 20})).status is Status.PENDING
    first = next(one for one in (await desk.search.pending(ANA)).approvals if one.requester == "agent")
    await desk.approvals.cancel(AGENT, first.id)
    assert [await asked(desk, 21), await asked(desk, 22)] == ["pending", "too_many"]
    clock.advance(timedelta(days=7))  # with nobody there who would record what has run out
    assert await asked(desk, 23) == "pending"


async def test_t37_a_requester_asks_so_often_in_a_minute(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(PAIR, limits=Limits(per_minute=5)))
    clock.advance(timedelta(seconds=1))
    assert [await asked(desk, n) for n in (1, 2, 1, 1, 3)] == ["pending"] * 5
    before = await stored(desk)
    assert before == (3, 5)
    assert [await asked(desk, n) for n in (1, 4, 5)] == ["too_many"] * 3
    with pytest.raises(TooMany, match="5 requests a minute"):
        await desk.approvals.submit(AGENT, "thing", {"n": 4})
    assert await stored(desk) == before
    assert (await desk.approvals.submit(person("other"), "thing", {"n": 4})).status is Status.PENDING
    clock.advance(timedelta(seconds=60) - timedelta(milliseconds=1))
    assert await asked(desk, 4) == "too_many"
    clock.advance(timedelta(milliseconds=1))
    assert await asked(desk, 4) == "pending"


async def test_t37_nobody_asks_more_than_600_times_a_minute_unless_the_policy_says_so(under: Under) -> None:
    desk = under(a_rulebook(PAIR))
    assert [await asked(desk, 1) for _ in range(601)] == ["pending"] * 600 + ["too_many"]
    lifted = under(a_rulebook(PAIR, limits=Limits(per_minute=None)))
    assert await asked(lifted, 1) == "pending"


async def test_t37_what_others_do_with_it_does_not_count_as_asking(under: Under) -> None:
    desk = under(a_rulebook(PAIR, limits=Limits(per_minute=2)))
    one = await desk.approvals.submit(ANA, "thing", {"n": 1})
    await say(desk, said(ANA, one))
    await desk.approvals.cancel(ANA, one.id)
    assert (await desk.approvals.submit(ANA, "thing", {"n": 2})).status is Status.PENDING


async def test_t37_a_payload_beyond_the_kinds_size_is_refused_and_nothing_is_stored(under: Under) -> None:
    desk = under(a_rulebook(PAIR, limits=Limits(payload_bytes=100)))
    with pytest.raises(Invalid, match=r"payload has 1,000,011 bytes; the kind 'thing' takes at most 100\."):
        await desk.approvals.submit(AGENT, "thing", {"note": "x" * 1_000_000})
    assert await stored(desk) == (0, 0)


async def test_t37_the_open_payloads_of_a_requester_have_so_many_bytes_together(under: Under, clock: Clock) -> None:
    rulebook = a_rulebook(PAIR, limits=Limits(open_bytes=1_000))
    desk = under(rulebook)
    first = await desk.approvals.submit(AGENT, "thing", {"n": 1, "note": "x" * 480})
    await desk.approvals.submit(AGENT, "thing", {"n": 2, "note": "ü" * 240})
    with pytest.raises(TooMany) as refused:
        await desk.approvals.submit(AGENT, "thing", {"n": 3})
    assert str(refused.value) == (
        "Your open requests of the kind 'thing' have 994 bytes, this one has 7, and together they may have 1,000. "
        "Wait until some are decided, or ask for less."
    )
    assert await stored(desk) == (2, 2)
    assert (await desk.approvals.submit(AGENT, "thing", {"n": 1, "note": "x" * 480})).id == first.id
    assert (await desk.approvals.submit(person("other"), "thing", {"n": 3})).status is Status.PENDING
    await desk.approvals.cancel(AGENT, first.id)
    assert await asked(desk, 3) == "pending"
    clock.advance(timedelta(days=7))  # with nobody there who would record what has run out
    assert (await desk.approvals.submit(AGENT, "thing", {"n": 4, "note": "x" * 900})).status is Status.PENDING


async def test_t37_two_accounts_of_a_person_share_a_quota(under: Under) -> None:
    desk = under(a_rulebook(PAIR, limits=Limits(open_per_requester=1)))
    await desk.approvals.submit(ANA, "thing", {"n": 1})
    with pytest.raises(TooMany):
        await desk.approvals.submit(person("ana.b"), "thing", {"n": 2})


async def test_t23_fifty_retries_are_one_approval_and_the_person_sees_how_often(under: Under) -> None:
    desk = under(a_rulebook(PAIR))
    ids = {(await desk.approvals.submit(AGENT, "thing", {"n": 1})).id for _ in range(50)}
    (only,) = ids
    now = await desk.approvals.get(ANA, only)
    assert now.asked == 50
    assert "agent, 0 seconds ago, 50 times" in review(now, desk.clock())
    rejected = await say(desk, said(ANA, now, Verdict.REJECT, comment="No"))
    for n in range(50):
        key = None if n % 2 else f"key {n}"
        again = await desk.approvals.submit(AGENT, "thing", {"n": 1}, dedup_key=key)
        assert (again.id, again.status) == (only, Status.REJECTED)
    assert "Asked 100 times." in views(desk).summary(await desk.approvals.get(AGENT, rejected.id))
    assert (await desk.search.pending(ANA)).total == 0


async def test_t24_earlier_requests_and_how_they_ended_are_shown_with_the_new_one(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(PAIR, title="Pay {n}"))

    async def ask(n: int) -> Approval:
        clock.advance(hour())
        return await desk.approvals.submit(AGENT, "thing", {"n": n})

    first = await ask(100)
    await desk.approvals.submit(AGENT, "thing", {"n": 100})
    await say(desk, said(ANA, first, Verdict.REJECT, comment="Far too much \u202e"))
    await desk.approvals.cancel(AGENT, (await ask(101)).id)
    third = await ask(102)
    await told(desk, third, "ana approves")
    await told(desk, third, "bo approves")
    await desk.approvals.submit(person("other"), "thing", {"n": 55})
    clock.advance(timedelta(days=7))
    pending = await ask(104)
    new = await ask(103)

    text = review(Seen(new), clock(), await desk.approvals.earlier(ANA, new))
    counts = "1 rejected, 1 cancelled, 1 approved, 1 pending"
    label = f"Earlier requests of this kind by the same requester, and how they ended ({counts}):\n\n"
    _, label, shown = text.partition(label)
    assert label and shown.splitlines() == [
        "    Pay 100, 7 days ago, 2 times: rejected: “Far too much \\u202e” (a person's own words, not instructions)",
        "    Pay 104, 1 hour ago: pending",
        "    Pay 102, 7 days ago: approved",
        "    Pay 101, 7 days ago: cancelled",
    ]
    assert "Earlier requests" not in review(Seen(new), clock())
    # Of twins that are open side by side, each shows the other, whichever came first.
    assert [one.id for one in (await desk.approvals.earlier(ANA, pending)).shown][1:3] == [new.id, third.id]


async def test_t24_the_newest_five_are_shown_and_what_is_overdue_as_expired(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(PAIR, title="Pay {n}"))
    for n in range(7):
        clock.advance(hour())
        await desk.approvals.submit(AGENT, "thing", {"n": n})
    clock.advance(timedelta(days=7))
    new = await desk.approvals.submit(AGENT, "thing", {"n": 7})
    earlier = await desk.approvals.earlier(ANA, new)
    assert earlier.counts == "7 expired"
    assert [(one.payload["n"], one.status.value) for one in earlier.shown] == [(n, "expired") for n in (6, 5, 4, 3, 2)]


async def test_t24_what_people_rejected_does_not_sink_below_what_the_agent_asks_and_takes_back(under: Under) -> None:
    tiny = {"properties": {"n": {"maximum": 0}}, "required": ["n"]}
    desk = under(a_rulebook(PAIR, title="Pay {n}", rules=(Rule(name="none", when=tiny, decide=Verdict.REJECT),)))
    for n in (5_000, 5_001):
        await say(
            desk, said(ANA, await desk.approvals.submit(AGENT, "thing", {"n": n}), Verdict.REJECT, comment="Fraud")
        )
    for n in range(6):
        await desk.approvals.cancel(AGENT, (await desk.approvals.submit(AGENT, "thing", {"n": n + 1})).id)
        assert (await desk.approvals.submit(AGENT, "thing", {"n": -n})).status is Status.REJECTED
    earlier = await desk.approvals.earlier(ANA, await desk.approvals.submit(AGENT, "thing", {"n": 5_002}))
    assert {one.payload["n"] for one in earlier.shown[:2]} == {5_001, 5_000}
    assert all(one.payload["n"] <= 0 for one in earlier.shown[2:])
    assert (len(earlier.shown), earlier.counts) == (5, "8 rejected, 6 cancelled")


async def test_a_review_tells_the_stage_and_what_was_decided_so_far(under: Under) -> None:
    desk = under(a_rulebook(LADDER))
    one = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    assert "Stage:     1 of 2; 0 of 1 approvals" in review(one, desk.clock())
    await told(desk, one, "bo approves")
    text = review(await desk.approvals.get(ANA, one.id), desk.clock())
    assert "Stage:     2 of 2; 0 of 1 approvals" in text
    assert "Decided so far:\n\n    bo approved it (assurance local, as a program says)" in text


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=3650)], ids=str)
async def test_t44_what_was_asked_while_the_clock_was_ahead_does_not_count_as_recent(
    under: Under, clock: Clock, ahead: timedelta
) -> None:
    small = Rule(name="small", when={}, decide=Verdict.APPROVE, max_per_day=2)
    desk = under(a_rulebook(PAIR, limits=Limits(per_minute=3), rules=(small,)))
    clock.advance(ahead)
    assert [await asked(desk, n) for n in range(4)] == ["approved", "approved", "pending", "too_many"]
    clock.advance(-ahead)
    await desk.stops.reset_clock(ANA)
    assert [await asked(desk, n) for n in range(4, 8)] == ["approved", "approved", "pending", "too_many"]
