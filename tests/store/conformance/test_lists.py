"""Lists of what is pending: what every store promises of them."""

from datetime import timedelta

import pytest
from samples import START
from store_samples import WEEK_LATER, insert, listed, numbered

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.store.store import Store

pytestmark = pytest.mark.anyio


async def test_pages_of_what_is_pending_follow_each_other_in_order_of_id(store: Store) -> None:
    await insert(store, *(numbered(number) for number in (5, 1, 4, 2, 3)))
    ids = [numbered(number).id for number in range(1, 6)]
    assert await listed(store) == ids
    assert await listed(store, limit=2) == ids[:2]
    assert await listed(store, after=ids[1], limit=2) == ids[2:4]
    assert await listed(store, after=ids[3], limit=2) == ids[4:]
    assert await listed(store, after=ids[4]) == []


async def test_a_page_goes_on_where_it_was_also_when_its_last_one_was_decided(store: Store) -> None:
    await insert(store, *(numbered(number) for number in range(1, 5)))
    await store.write(lambda tx: tx.approvals.resolve(numbered(2).id, Status.APPROVED, START))
    assert await listed(store, after=numbered(2).id) == [numbered(3).id, numbered(4).id]


async def test_only_what_can_still_be_decided_is_pending(store: Store) -> None:
    await insert(
        store,
        numbered(1),
        numbered(2, expires_at=START),
        numbered(3, expires_at=START + timedelta(milliseconds=1)),
        *(
            numbered(10 + place, status=status, resolved_at=START)
            for place, status in enumerate(set(Status) - {Status.PENDING})
        ),
    )
    assert await listed(store) == [numbered(1).id, numbered(3).id]
    assert await listed(store, now=WEEK_LATER) == []
    assert await store.read(lambda view: view.lists.count_pending(START, kind=None, most=100)) == 2


async def test_what_is_pending_can_be_asked_for_by_kind(store: Store) -> None:
    await insert(store, numbered(1), numbered(2, kind="action"), numbered(3, kind="action", expires_at=START))
    assert await listed(store, kind="action") == [numbered(2).id]
    assert await listed(store, kind="unknown") == []
    assert await store.read(lambda view: view.lists.count_pending(START, kind="action", most=100)) == 1


async def test_counting_stops_where_it_is_told_to(store: Store) -> None:
    await insert(store, *(numbered(number) for number in range(7)))
    counts = await store.read(
        lambda view: [view.lists.count_pending(START, kind=None, most=most) for most in (3, 7, 100)]
    )
    assert counts == [3, 7, 7]
