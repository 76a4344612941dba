"""What else a requester has asked for: what every store finds."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from samples import START, a_decision
from store_samples import insert, numbered

from mcp_hitl.domain.approvals.approval import Approval, Edit, Status
from mcp_hitl.domain.approvals.quorum import POLICY_STAGE
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.canonical import canonical
from mcp_hitl.store.lists import id_of
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio


async def test_earlier_requests_are_the_requesters_own_of_a_kind_newest_first(store: Store) -> None:
    await insert(
        store,
        *(numbered(number) for number in range(4)),
        numbered(4, requester="os:other"),
        numbered(5, kind="action"),
        numbered(6),
    )

    async def earlier(but: int, limit: int) -> list[str]:
        listed = await store.read(lambda view: view.requesters.earlier("os:agent", "expense", numbered(but).id, limit))
        return [id_of(one) for one in listed]

    assert await earlier(6, 10) == [numbered(number).id for number in (3, 2, 1, 0)]
    assert await earlier(3, 2) == [numbered(6).id, numbered(2).id]
    assert await earlier(0, 10) == [numbered(number).id for number in (6, 3, 2, 1)]


async def test_t24_what_people_rejected_comes_first_and_what_ended_how_is_counted(store: Store) -> None:
    ended = [Status.REJECTED, Status.REJECTED, Status.CANCELLED, Status.REJECTED, Status.CANCELLED]
    await insert(store, *(numbered(number) for number in range(7)), numbered(7, requester="os:other"))
    rule = a_decision(approval=numbered(3).id, approver="policy:none", stage=POLICY_STAGE, verdict=Verdict.REJECT)

    def end(tx: Transaction) -> None:
        tx.approvals.add_decision(rule)
        for number, status in enumerate(ended):
            tx.approvals.resolve(numbered(number).id, status, START)

    await store.write(end)
    others = ("os:agent", "expense", numbered(6).id)
    listed = await store.read(lambda view: [view.requesters.earlier(*others, limit) for limit in (2, 4, 10)])
    in_order = [numbered(number).id for number in (1, 0, 3, 5, 4, 2)]
    assert [[id_of(one) for one in some] for some in listed] == [in_order[:2], in_order[:4], in_order]

    async def counted(now: datetime, most: int) -> dict[Status, int]:
        return await store.read(lambda view: view.requesters.count_earlier(*others, now, most))

    assert await counted(START, 10) == {Status.REJECTED: 3, Status.CANCELLED: 2, Status.PENDING: 1}
    overdue = numbered(5).expires_at
    assert await counted(overdue, 2) == {Status.REJECTED: 2, Status.CANCELLED: 2, Status.EXPIRED: 1}


async def test_what_a_requester_has_open_is_counted_by_kind_with_its_bytes(store: Store) -> None:
    size = len(canonical(numbered(0).payload, what="payload"))
    await insert(
        store,
        *(numbered(number) for number in range(3)),
        numbered(3, status=Status.CANCELLED, resolved_at=START),
        numbered(4, requester="os:other"),
        numbered(5, kind="action"),
    )

    async def held(*requesters: str, now: datetime = START) -> tuple[int, int]:
        return await store.read(lambda view: view.requesters.open(requesters, "expense", now))

    ends = numbered(0).expires_at
    assert await held("os:agent") == (3, 3 * size)
    assert await held("os:agent", now=ends - timedelta(milliseconds=1)) == (3, 3 * size)
    assert await held("os:agent", now=ends) == (0, 0)
    assert await held("os:agent", "os:nobody", "os:other") == (4, 4 * size)
    assert await held("os:agent", "os:other", now=ends) == (0, 0)
    assert await held("os:nobody") == (0, 0)


async def test_what_is_open_follows_each_edit_and_each_end(store: Store) -> None:
    async def held() -> tuple[int, int]:
        return await store.read(lambda view: view.requesters.open(["os:agent"], "expense", START))

    def bytes_of(*approvals: Approval) -> int:
        return sum(len(canonical(one.payload, what="payload")) for one in approvals)

    first, second = numbered(1), numbered(2, payload={"text": "ü" * 10})
    longer = replace(first, payload={"text": "é" * 500}, revision=2)
    await insert(store, first, second)
    assert await held() == (2, bytes_of(first, second))
    edit = Edit(revision=2, editor="os:ana", comment=None, before=first.payload, after=longer.payload, at=START)
    assert await store.write(lambda tx: tx.approvals.revise(longer, edit))
    assert await held() == (2, bytes_of(longer, second))
    assert await store.write(lambda tx: tx.approvals.resolve(first.id, Status.APPROVED, START))
    assert not await store.write(lambda tx: tx.approvals.resolve(first.id, Status.REJECTED, START))
    await store.write(lambda tx: tx.approvals.erase(first.id, START))
    assert await held() == (1, bytes_of(second))
    assert await store.write(lambda tx: tx.approvals.resolve(second.id, Status.EXPIRED, START))
    assert await held() == (0, 0)


async def test_what_a_rule_approved_is_counted_by_requester_kind_and_since_when(store: Store) -> None:
    approved: dict[str, Any] = {"status": Status.APPROVED, "rule": "small"}
    late, later = START + timedelta(seconds=1), START + timedelta(seconds=2)
    await insert(
        store,
        numbered(1, **approved, resolved_at=START),
        numbered(2, **approved, resolved_at=late),
        numbered(3, **approved, resolved_at=later, requested_at=START - timedelta(days=9)),
        numbered(4, **{**approved, "status": Status.REJECTED}, resolved_at=later),
        numbered(5, **{**approved, "rule": "large"}, resolved_at=later),
        numbered(6, **approved, resolved_at=later, requester="os:other"),
        numbered(7, **approved, resolved_at=later, kind="action"),
        numbered(8, rule="small"),
    )

    async def count(since: datetime, now: datetime = START + timedelta(days=1)) -> int:
        return await store.read(lambda view: view.requesters.count_ruled("os:agent", "expense", "small", since, now))

    assert [await count(since) for since in (START - timedelta(seconds=1), START, late, later)] == [3, 2, 1, 0]
    before = START - timedelta(seconds=1)
    assert [await count(before, now) for now in (before, START, late, later)] == [0, 1, 2, 3]


async def test_requesters_are_found_by_the_way_in_which_they_were_identified(store: Store) -> None:
    ways = {"os:agent": "os-user", "os:bo": "os-user", "local": "loopback", "billing": "program", "old": None}
    asked = [(who, way) for who, way in ways.items() for _ in range(3)]
    await insert(store, *(numbered(number, requester=who, requested_as=way) for number, (who, way) in enumerate(asked)))

    async def found(*ways: str) -> list[str]:
        return sorted(await store.read(lambda view: view.requesters.identified_by(ways)))

    assert await found("os-user", "loopback") == ["local", "os:agent", "os:bo"]
    assert (await found("program"), await found("sign-in-link"), await found()) == (["billing"], [], [])
