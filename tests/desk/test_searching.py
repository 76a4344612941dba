"""Finding approvals again: among what is pending and among what was, page by page."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from desk_samples import AGENT, ANA, BO, CY, LUNCH, RULEBOOK, Clock, WatchedStore, hour, said, say
from team_samples import edited

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.stop import Stop
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]
Searched = Callable[[int], None]


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> Searched:
    """Set how many approvals one search looks at."""
    return lambda most: monkeypatch.setattr("mcp_hitl.desk.search.MOST_SEARCHED", most)


async def asked(desk: Desk, clock: Clock, count: int, who: Principal = AGENT, **payload: Any) -> list[Approval]:
    """Some actions, a second apart."""
    opened: list[Approval] = []
    for number in range(count):
        clock.advance(timedelta(seconds=1))
        opened.append(await desk.approvals.submit(who, "action", {"n": number, **payload}))
    return opened


def ids(approvals: Sequence[Approval]) -> list[str]:
    return [approval.id for approval in approvals]


async def test_pending_ones_are_found_by_requester_and_words(desk: Desk, clock: Clock) -> None:
    taxis = await asked(desk, clock, 2, what="Taxi to Köln")
    trains = await asked(desk, clock, 2, BO, what="Train to Köln")
    clock.advance(timedelta(seconds=1))
    lunch = await desk.approvals.submit(BO, "expense", LUNCH)

    async def found(**sought: Any) -> list[str]:
        page = await desk.search.pending(ANA, **sought)
        assert page.total == len(page.approvals) and page.next_cursor is None and not page.total_capped
        return ids(page.approvals)

    assert await found(text="TAXI köln") == ids(taxis)
    assert await found(text="köln") == ids(taxis + trains)
    assert await found(requester="os:bo") == [*ids(trains), lunch.id]
    assert await found(requester="os:bo", kind="expense") == [lunch.id]
    assert await found(requester="os:b") == []
    assert await found(text="  ") == ids([*taxis, *trains, lunch])


async def test_a_search_of_what_is_pending_goes_on_where_it_stopped(
    desk: Desk, clock: Clock, searched: Searched
) -> None:
    searched(3)
    opened = await asked(desk, clock, 14)
    for decided in (opened[0], opened[5]):
        await say(desk, said(ANA, decided))
    kept = [one for one in opened if one not in (opened[0], opened[5])]
    wanted = [kept[1], kept[2], kept[11]]
    for one in wanted:
        await edited(desk, ANA, one, {"what": "taxi"})
    found: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        page = await desk.search.pending(ANA, text="taxi", limit=1, cursor=cursor)
        assert (page.total, page.counted_all, page.total_capped) == (2, False, True)
        found += ids(page.approvals)
        cursor, pages = page.next_cursor, pages + 1
    assert found == ids(wanted)
    assert pages == 5  # two of them were empty


async def test_a_search_counts_to_a_thousand_and_says_so(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_hitl.desk.search.MOST_COUNTED", 3)
    opened = await asked(desk, clock, 5, what="taxi")
    page = await desk.search.pending(ANA, text="taxi", limit=1)
    assert (ids(page.approvals), page.total, page.total_capped) == (ids(opened[:1]), 3, True)
    page = await desk.search.pending(ANA, text="taxi", limit=9, cursor=page.next_cursor)
    assert (ids(page.approvals), page.total, page.next_cursor) == (ids(opened[1:]), 3, None)


async def test_the_plain_list_is_asked_for_as_ever(desk: Desk, store: WatchedStore) -> None:
    await desk.approvals.submit(AGENT, "expense", LUNCH)
    await desk.search.pending(ANA, kind="expense")
    assert store.answered["lists.pending"] == store.answered["lists.count_pending"] == 1
    assert store.answered["lists.sift_pending"] == 0


@pytest.mark.parametrize(
    ("sought", "sentence"),
    [
        ({"text": "x" * 201}, "text to search for must have at most 200 characters"),
        ({"text": "\0"}, "text to search for contains a NUL"),
        ({"requester": "\ud800"}, "requester contains half of a surrogate"),
        ({"cursor": "apr_1"}, "cursor must be a next_cursor"),
    ],
)
async def test_what_cannot_be_searched_for_is_refused(desk: Desk, sought: dict[str, Any], sentence: str) -> None:
    for look in (desk.search.pending, desk.search.history):
        with pytest.raises(Invalid, match=sentence):
            await look(ANA, **sought)


async def test_the_history_is_of_what_is_resolved_or_overdue_newest_first(desk: Desk, clock: Clock) -> None:
    late, approved, rejected, cancelled, taxi, open_ = await asked(desk, clock, 6)
    await say(desk, said(ANA, approved))
    await say(desk, said(BO, rejected, Verdict.REJECT))
    await desk.approvals.cancel(AGENT, cancelled.id)
    await edited(desk, BO, taxi, {"what": "Taxi"})
    taxi = await say(desk, said(ANA, await desk.approvals.get(ANA, taxi.id)))

    async def found(**sought: Any) -> list[str]:
        past = await desk.search.history(CY, **sought)
        assert past.next_cursor is None and past.looked_back_to is None
        return ids(past.approvals)

    assert await found() == ids([taxi, cancelled, rejected, approved])
    assert await found(approver="os:ana") == ids([taxi, approved])
    assert await found(approver="os:ana", text="taxi") == [taxi.id]
    assert await found(status=Status.CANCELLED) == [cancelled.id]
    assert await found(requester="os:nobody") == await found(kind="expense") == []
    clock.now = late.expires_at
    assert await found(status=Status.EXPIRED) == [late.id]
    assert (await desk.search.history(CY)).approvals[-1].status is Status.EXPIRED
    clock.now = open_.expires_at
    assert (await found())[0] == open_.id
    with pytest.raises(Invalid, match="has only resolved approvals"):
        await found(status=Status.PENDING)


async def test_the_history_goes_back_page_by_page_and_says_how_far_it_looked(
    desk: Desk, clock: Clock, searched: Searched
) -> None:
    opened = await asked(desk, clock, 7)
    for one in opened:
        await say(desk, said(BO if one is opened[1] else ANA, one))
    searched(4)
    first = await desk.search.history(CY, limit=2)
    assert (ids(first.approvals), first.looked_back_to) == (ids([opened[6], opened[5]]), None)
    second = await desk.search.history(CY, limit=2, cursor=first.next_cursor)
    assert ids(second.approvals) == ids([opened[4], opened[3]])
    empty = await desk.search.history(CY, approver="os:bo")
    assert empty.approvals == [] and empty.looked_back_to == opened[3].requested_at
    rest = await desk.search.history(CY, approver="os:bo", cursor=empty.next_cursor)
    assert (ids(rest.approvals), rest.next_cursor, rest.looked_back_to) == ([opened[1].id], None, None)


async def test_an_approver_is_found_under_each_of_their_accounts(under: Under, clock: Clock) -> None:
    desk = under(replace(RULEBOOK, people=People(aliases={"os:ana-admin": "os:ana"})))
    (one,) = await asked(desk, clock, 1)
    await say(desk, said(replace(ANA, id="os:ana-admin"), one))
    for account in ("os:ana", "os:ana-admin"):
        assert ids((await desk.search.history(CY, approver=account)).approvals) == [one.id]


async def test_who_and_what_is_pending_is_named(desk: Desk, clock: Clock) -> None:
    assert await desk.search.requesters() == await desk.search.pending_kinds() == []
    lunch = await desk.approvals.submit(BO, "expense", LUNCH)
    await asked(desk, clock, 2)
    assert await desk.search.requesters() == ["os:agent", "os:bo"]
    assert await desk.search.pending_kinds() == ["action", "expense"]
    await say(desk, said(ANA, lunch))
    assert (await desk.search.requesters(), await desk.search.pending_kinds()) == (["os:agent"], ["action"])


async def test_the_next_pending_one_is_behind_this_one_or_else_the_first(desk: Desk, clock: Clock) -> None:
    assert await desk.search.next_pending(None) is None
    one, two, three = await asked(desk, clock, 3)
    follow = {None: one.id, one.id: two.id, two.id: three.id, three.id: one.id}
    assert {after: await desk.search.next_pending(after) for after in follow} == follow
    await say(desk, said(ANA, two))
    assert await desk.search.next_pending(two.id) == three.id
    await say(desk, said(ANA, three))
    assert await desk.search.next_pending(three.id) == one.id
    assert await desk.search.next_pending(one.id) is None
    with pytest.raises(Invalid, match="cursor"):
        await desk.search.next_pending("first")


async def test_what_is_stopped_is_told_with_who_stopped_it_and_when(desk: Desk, clock: Clock) -> None:
    started = clock.now
    await desk.stops.pause(ANA, "expense")
    clock.advance(hour())
    await desk.stops.pause(BO)
    assert await desk.stops.paused() == [Stop(None, "os:bo", clock.now), Stop("expense", "os:ana", started)]
    await desk.stops.resume(CY)
    await desk.stops.resume(CY, "expense")
    assert await desk.stops.paused() == []
