"""How deciding went: by kind and by person, within the days that are asked for."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from desk_samples import AGENT, ANA, BO, CY, LUNCH, RULEBOOK, Clock, hour, said, say

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.statistics import KindNumbers, PersonNumbers
from mcp_hitl.domain.policy.kinds import ACTION
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.errors import Invalid

pytestmark = pytest.mark.anyio
SECOND = timedelta(seconds=1)


async def test_numbers_tell_of_kinds_and_of_people(desk: Desk, clock: Clock) -> None:
    lunch = await desk.approvals.submit(AGENT, "expense", LUNCH)
    first, second, third, late = [await desk.approvals.submit(AGENT, "action", {"n": number}) for number in range(4)]
    clock.advance(hour(1))
    await say(desk, said(ANA, lunch, looked=SECOND))
    await say(desk, said(ANA, first, Verdict.REJECT, looked=5 * SECOND))
    clock.advance(hour(1))
    await say(desk, said(BO, second))
    await desk.approvals.cancel(AGENT, third.id)
    open_ = await desk.approvals.submit(AGENT, "action", {"n": 9})
    clock.now = late.expires_at  # and no timer has run
    numbers = await desk.search.numbers()
    assert numbers.complete and numbers.until == clock.now and numbers.since == clock.now - timedelta(days=30)
    assert open_.expires_at > clock.now
    assert numbers.kinds == (
        KindNumbers(
            kind="action",
            resolved=4,
            approved=1,
            rejected=1,
            expired=1,
            cancelled=1,
            by_rule=0,
            hasty=0,
            rate=0.5,
            median_wait=hour(2),
        ),
        KindNumbers(
            kind="expense",
            resolved=1,
            approved=1,
            rejected=0,
            expired=0,
            cancelled=0,
            by_rule=0,
            hasty=1,
            rate=1.0,
            median_wait=hour(1),
        ),
    )
    assert numbers.people == (
        PersonNumbers(
            person="os:ana",
            decided=2,
            approved=1,
            rejected=1,
            hasty=1,
            rate=0.5,
            median_wait=hour(1),
            median_looked=3 * SECOND,
        ),
        PersonNumbers(
            person="os:bo",
            decided=1,
            approved=1,
            rejected=0,
            hasty=0,
            rate=1.0,
            median_wait=hour(2),
            median_looked=None,
        ),
    )


async def test_what_was_resolved_longer_ago_is_not_counted(desk: Desk, clock: Clock) -> None:
    await say(desk, said(ANA, await desk.approvals.submit(AGENT, "expense", LUNCH)))
    clock.advance(timedelta(days=2))
    assert len((await desk.search.numbers(days=3)).kinds) == len((await desk.search.numbers(days=3)).people) == 1
    nothing = await desk.search.numbers(days=2)
    assert (nothing.kinds, nothing.people, nothing.complete) == ((), (), True)


async def test_what_was_erased_still_counts(desk: Desk, clock: Clock) -> None:
    await say(desk, said(ANA, await desk.approvals.submit(AGENT, "action", {"n": 1})))
    clock.advance(hour())
    assert await desk.evidence.erase(CY, older_than=timedelta()) == 1
    numbers = await desk.search.numbers()
    assert [row.approved for row in numbers.kinds] == [row.approved for row in numbers.people] == [1]


async def test_what_a_rule_decided_is_nobodys_decision(under: Callable[[Rulebook], Desk]) -> None:
    rule = Rule(name="tiny", when={"required": ["tiny"]}, decide=Verdict.APPROVE)
    desk = under(replace(RULEBOOK, kinds={"action": replace(ACTION, rules=(rule,))}))
    await desk.approvals.submit(AGENT, "action", {"tiny": True})
    numbers = await desk.search.numbers()
    assert [(row.approved, row.by_rule) for row in numbers.kinds] == [(1, 1)]
    assert numbers.people == ()


async def test_several_accounts_of_one_person_are_one_row(desk: Desk, under: Callable[[Rulebook], Desk]) -> None:
    for number, who in enumerate((ANA, BO)):
        await say(desk, said(who, await desk.approvals.submit(AGENT, "action", {"n": number})))
    later = under(replace(RULEBOOK, people=People(aliases={"os:bo": "os:ana"})))
    assert [(row.person, row.decided) for row in (await later.search.numbers()).people] == [("os:ana", 2)]


async def test_where_there_is_too_much_the_newest_are_counted_and_it_is_said(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_hitl.desk.search.MOST_NUMBERED", 2)
    for number in range(4):
        clock.advance(SECOND)
        await say(desk, said(ANA, await desk.approvals.submit(AGENT, "action", {"n": number})))
    numbers = await desk.search.numbers()
    assert (numbers.complete, numbers.since) == (False, clock.now - 2 * SECOND)
    assert [row.resolved for row in numbers.kinds] == [row.decided for row in numbers.people] == [2]


@pytest.mark.parametrize("days", [0, -1, 3_661])
async def test_a_span_that_is_none_is_refused(desk: Desk, days: int) -> None:
    with pytest.raises(Invalid, match="days must be 1 to"):
        await desk.search.numbers(days=days)
