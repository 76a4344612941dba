"""What every store promises of searches and numbers."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from samples import START, a_decision, an_approval

from mcp_hitl.domain.approvals.approval import Approval, Decision, Status
from mcp_hitl.domain.approvals.quorum import POLICY_STAGE
from mcp_hitl.domain.approvals.search import Sifted, Sought, words_of
from mcp_hitl.domain.approvals.statistics import Ended, Given
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.errors import Unreadable
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)


def numbered(number: int, status: Status = Status.PENDING, **changes: Any) -> Approval:
    """An approval whose id is the `number`th in order; resolved at `START` where it is not pending."""
    resolved = None if status is Status.PENDING else START
    held = an_approval(id=approval_id(START, number), status=status, resolved_at=resolved)
    return replace(held, **changes)


def ids(*numbers: int) -> list[str]:
    return [numbered(number).id for number in numbers]


async def insert(store: Store, *what: Approval | Decision) -> None:
    def work(tx: Transaction) -> None:
        for one in what:
            if isinstance(one, Approval):
                tx.approvals.insert(one)
            else:
                assert tx.approvals.add_decision(one)

    await store.write(work)


async def pending(store: Store, now: datetime = START, after: str | None = None, **sought: Any) -> list[str]:
    return (await sift(store, "pending", now, after, 100, 100, **sought)).ids


async def past(store: Store, now: datetime = START, before: str | None = None, **sought: Any) -> list[str]:
    return (await sift(store, "past", now, before, 100, 100, **sought)).ids


async def sift(
    store: Store, what: str, now: datetime, edge: str | None, limit: int, most: int, **sought: Any
) -> Sifted:
    wanted = Sought(words=words_of(sought.pop("text", None)), **sought)
    if what == "pending":
        return await store.read(lambda view: view.lists.sift_pending(now, wanted, after=edge, limit=limit, most=most))
    return await store.read(lambda view: view.lists.sift_past(now, wanted, before=edge, limit=limit, most=most))


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ({}, [1, 2, 3, 4]),
        ({"kind": "action"}, [2, 4]),
        ({"requester": "os:bo"}, [3, 4]),
        ({"kind": "action", "requester": "os:bo"}, [4]),
        ({"text": "TAXI"}, [2, 3]),
        ({"text": "taxi größe"}, [3]),
        ({"text": "taxi bo"}, [3]),
        ({"text": "now"}, [1]),
        ({"text": ids(4)[0].upper()}, [4]),
        ({"text": "taxi", "kind": "action"}, [2]),
        ({"text": "taxi", "kind": "action", "requester": "os:bo"}, []),
        ({"kind": "' OR 1=1 --"}, []),
    ],
)
async def test_what_is_pending_is_found_by_kind_requester_and_words(
    store: Store, sought: dict[str, Any], found: list[int]
) -> None:
    await insert(
        store,
        numbered(1, claim="Now!"),
        numbered(2, kind="action", title="A taxi"),
        numbered(3, requester="os:bo", payload={"what": "Taxi", "size": "GRÖSSE"}),
        numbered(4, requester="os:bo", kind="action"),
        numbered(5, title="taxi", expires_at=START),
        numbered(6, Status.APPROVED, title="taxi"),
    )
    assert await pending(store, **sought) == ids(*found)


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ({}, [6, 5, 4, 3, 2]),
        ({"status": Status.APPROVED}, [6, 3]),
        ({"status": Status.EXPIRED}, [4, 2]),
        ({"status": Status.CANCELLED}, []),
        ({"kind": "action"}, [5, 2]),
        ({"requester": "os:bo"}, [5, 4]),
        ({"approver": "os:cy"}, [6, 5]),
        ({"approver": "os:cy", "status": Status.REJECTED}, [5]),
        ({"text": "taxi"}, [6, 2]),
        ({"text": "taxi", "status": Status.EXPIRED, "kind": "action"}, [2]),
    ],
)
async def test_what_was_is_found_newest_first_by_status_kind_requester_approver_and_words(
    store: Store, sought: dict[str, Any], found: list[int]
) -> None:
    await insert(
        store,
        numbered(1),
        numbered(2, kind="action", title="A taxi", expires_at=START),  # overdue
        numbered(3, Status.APPROVED),
        numbered(4, Status.EXPIRED, requester="os:bo"),
        numbered(5, Status.REJECTED, requester="os:bo", kind="action"),
        numbered(6, Status.APPROVED, title="taxi"),
        numbered(7),
        a_decision("os:ana", approval=ids(3)[0]),
        a_decision("os:cy", Verdict.REJECT, approval=ids(5)[0]),
        a_decision("os:cy", approval=ids(6)[0]),
        a_decision("os:dee", approval=ids(6)[0]),
        a_decision("os:cy", approval=ids(7)[0]),  # still pending
    )
    assert await past(store, **sought) == ids(*found)


async def test_overdue_ones_stand_in_their_place_among_those_that_were_resolved(store: Store) -> None:
    overdue = [numbered(number, expires_at=START) for number in (1, 4, 5)]
    await insert(store, *overdue, *(numbered(number, Status.APPROVED) for number in (2, 3, 6)), numbered(7))
    assert await past(store) == ids(6, 5, 4, 3, 2, 1)
    assert await past(store, now=START - HOUR) == ids(6, 3, 2)
    assert await past(store, before=ids(5)[0]) == ids(4, 3, 2, 1)


@pytest.mark.parametrize("what", ["pending", "past"])
@pytest.mark.parametrize("text", [None, "lunch"])
async def test_a_search_looks_at_so_many_and_says_where_it_stopped(store: Store, what: str, text: str | None) -> None:
    status = Status.PENDING if what == "pending" else Status.APPROVED
    await insert(store, *(numbered(number, status) for number in range(1, 10)))
    order = ids(*range(1, 10)) if what == "pending" else ids(*range(9, 0, -1))

    async def look(edge: str | None, limit: int, most: int, **sought: Any) -> Sifted:
        return await sift(store, what, START, edge, limit, most, text=text, **sought)

    assert await look(None, 100, 4) == Sifted(order[:4], order[3])
    assert await look(order[3], 100, 4) == Sifted(order[4:8], order[7])
    assert await look(order[7], 100, 4) == Sifted(order[8:], None)
    assert await look(None, 2, 4) == Sifted(order[:2], None)  # there is enough
    assert await look(None, 100, 4, requester="os:nobody") == Sifted([], order[3])
    assert await look(order[7], 100, 4, requester="os:nobody") == Sifted([], None)


async def test_a_long_list_is_gone_through_to_its_end(store: Store) -> None:
    await insert(store, *(numbered(number, title="odd" if number % 2 else "even") for number in range(1_000)))
    found = await sift(store, "pending", START, None, 10_000, 10_000, text="odd")
    assert found == Sifted(ids(*range(1, 1_000, 2)))


async def test_a_search_stops_earlier_where_there_is_much_to_read(store: Store) -> None:
    await insert(store, *(numbered(number, payload={"text": "x" * 1_000_000}) for number in range(8)))
    read, edge = [0], None
    while True:
        found = await sift(store, "pending", START, edge, 100, 100, text="zebra")
        assert found.ids == []
        if found.stopped_at is None:
            break
        edge = found.stopped_at
        read.append(ids(*range(8)).index(edge))
    assert len(read) > 2 and read == sorted(set(read))


async def test_who_and_what_is_pending_is_named_once_in_order(store: Store) -> None:
    await insert(
        store,
        *(numbered(number, requester="os:bo", kind="action") for number in range(10, 20)),
        numbered(1, requester="os:cy"),
        numbered(2, requester="os:ana", kind="release"),
        numbered(3, requester="os:ana", kind="release"),
        numbered(4, requester="os:late", kind="late", expires_at=START),
        numbered(5, Status.APPROVED, requester="os:done", kind="done"),
    )

    async def named(now: datetime, limit: int) -> tuple[list[str], list[str]]:
        return await store.read(
            lambda view: (view.lists.pending_requesters(now, limit), view.lists.pending_kinds(now, limit))
        )

    assert await named(START, 100) == (["os:ana", "os:bo", "os:cy"], ["action", "expense", "release"])
    assert await named(START, 2) == (["os:ana", "os:bo"], ["action", "expense"])
    assert await named(START + timedelta(days=8), 100) == ([], [])


async def test_what_ended_in_a_span_is_told_with_what_people_decided_on_it(store: Store) -> None:
    asked = START - timedelta(days=2)
    long_ago = START - timedelta(days=1)
    one, two, three, four = ids(1, 2, 3, 4)
    await insert(
        store,
        numbered(1, Status.APPROVED, requested_at=asked, resolved_at=START - 2 * HOUR),
        numbered(2, Status.REJECTED, kind="action", requested_at=asked, resolved_at=START - HOUR, revision=2),
        numbered(3, Status.APPROVED, requested_at=asked, resolved_at=asked, rule="tiny"),
        numbered(4, requested_at=asked, expires_at=START),  # overdue
        numbered(5, Status.EXPIRED, resolved_at=long_ago),
        numbered(6),
        numbered(7, Status.APPROVED, requested_at=asked, resolved_at=START, rule="tiny"),
        numbered(8, expires_at=long_ago),
        a_decision("os:ana", approval=one, at=asked + HOUR, looked=timedelta(seconds=1)),
        a_decision("os:ana", approval=two, at=asked + 2 * HOUR),
        a_decision("os:bo", Verdict.REJECT, approval=two, revision=2, at=START - HOUR),
        a_decision("policy:tiny", approval=three, stage=POLICY_STAGE),
        a_decision("os:cy", approval=four, at=START - HOUR),
        a_decision("os:dee", approval=ids(6)[0]),
        a_decision("policy:tiny", approval=ids(7)[0], stage=POLICY_STAGE),
    )
    await store.write(lambda tx: tx.approvals.erase(one, START))
    days = timedelta(days=2)
    approved, rejected, expired = Status.APPROVED, Status.REJECTED, Status.EXPIRED
    told = [
        Ended("expense", expired, days, False, START),
        Ended("expense", approved, days, True, START),
        Ended("action", rejected, days - HOUR, False, START - HOUR),
        Ended("expense", approved, days - 2 * HOUR, False, START - 2 * HOUR),
    ]

    def key(one: object) -> str:
        return repr(one)

    found = await store.read(lambda view: view.lists.ended(long_ago, START, 100))
    ends = [ended.ended_at for ended in found if not isinstance(ended, Unreadable)]
    assert ends == [ended.ended_at for ended in told]
    assert sorted(found, key=key) == sorted(told, key=key)
    assert len(await store.read(lambda view: view.lists.ended(long_ago - HOUR, START, 100))) == 6
    assert await store.read(lambda view: view.lists.ended(long_ago, START, 3)) == found[:3]
    given = await store.read(lambda view: view.lists.given(long_ago, START))
    assert sorted(given, key=key) == sorted(
        [
            Given("expense", "os:ana", Verdict.APPROVE, HOUR, timedelta(seconds=1)),
            Given("action", "os:ana", Verdict.APPROVE, 2 * HOUR, None),
            Given("action", "os:bo", Verdict.REJECT, days - HOUR, None),
            Given("expense", "os:cy", Verdict.APPROVE, days - HOUR, None),
        ],
        key=key,
    )
    assert await store.read(lambda view: view.lists.ended(START, START, 100)) == []
