"""Sweeps: what every store finds."""

from datetime import timedelta
from typing import Any

import pytest
from samples import START, an_approval
from store_samples import WEEK_LATER, insert, numbered

from mcp_hitl.domain.approvals.approval import Approval, Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.policy.policy import Policy
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store.lists import id_of
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio
LATER = START + timedelta(hours=1)


async def test_what_is_due_comes_longest_due_first(store: Store) -> None:
    def waits(number: int, **changes: Any) -> Approval:
        return numbered(number, stage_since=START, timed_to=START, **changes)

    in_two_hours = Policy(remind_after=(timedelta(hours=2),))
    await insert(
        store,
        waits(1, expires_at=START + timedelta(hours=3)),
        waits(2, policy=in_two_hours),
        waits(3, expires_at=START + timedelta(hours=1)),
        waits(4, expires_at=START, status=Status.CANCELLED, resolved_at=START),
        waits(5),
    )
    hours = [timedelta(), timedelta(hours=1), timedelta(hours=2), timedelta(hours=3)]
    due = [await store.read(lambda view, at=START + span: view.sweeps.due(at, 10)) for span in hours]
    assert await store.read(lambda view: view.sweeps.next_due()) == START + hours[1]
    assert due == [[numbered(n).id for n in numbers] for numbers in ([], [3], [3, 2], [3, 2, 1])]
    assert await store.read(lambda view: view.sweeps.due(START + timedelta(hours=3), 2)) == due[2]
    for number in (1, 2, 3, 5):
        await store.write(lambda tx, n=number: tx.approvals.resolve(numbered(n).id, Status.EXPIRED, START))
    assert await store.read(lambda view: view.sweeps.due(WEEK_LATER, 10)) == []
    assert await store.read(lambda view: view.sweeps.next_due()) is None


async def test_every_approval_is_listed_in_order_of_id(store: Store) -> None:
    ids = [numbered(number).id for number in range(5)]
    await insert(store, *(numbered(number, kind=f"k{number}") for number in (3, 1, 4, 0, 2)))
    await store.write(lambda tx: tx.approvals.resolve(ids[1], Status.CANCELLED, START))
    pages = await store.read(lambda view: [view.sweeps.every(after, 2) for after in ("", ids[1], ids[3], ids[4])])
    assert [[id_of(one) for one in page] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]


async def test_what_nobody_could_tell_is_found(store: Store) -> None:
    states = [OutcomeState.UNKNOWN, OutcomeState.FAILED, OutcomeState.UNKNOWN, OutcomeState.UNKNOWN]
    ids = [approval_id(START, number) for number in range(len(states))]

    def work(tx: Transaction) -> None:
        for one, state in zip(ids, states, strict=True):
            tx.approvals.insert(an_approval(id=one, status=Status.APPROVED, resolved_at=START, outcome=Outcome(state)))

    await store.write(work)
    assert await store.read(lambda view: view.sweeps.unsettled(10)) == [ids[0], ids[2], ids[3]]
    assert await store.read(lambda view: view.sweeps.unsettled(1)) == [ids[0]]


async def test_open_kinds_are_those_that_wait_and_those_whose_flow_goes_on(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.approvals.insert(an_approval(id=approval_id(START, 1)))
        tx.approvals.insert(
            an_approval(id=approval_id(START, 2), kind="gone", status=Status.REJECTED, resolved_at=START)
        )
        for number, state in enumerate(FlowState, start=3):
            one = an_approval(
                id=approval_id(START, number), kind=state.value, status=Status.APPROVED, resolved_at=START
            )
            tx.approvals.insert(one)
            lease = tx.flows.insert(f"flw_{number}", one.kind, one.id, START)
            tx.flows.leave(lease, state, wake_at=LATER if state is FlowState.SLEEPING else None)
        pending = an_approval(id=approval_id(START, 20))
        tx.approvals.insert(pending)
        tx.flows.insert("flw_20", pending.kind, pending.id, START)

    await store.write(work)
    found = await store.read(lambda view: view.sweeps.open_kinds())
    assert found == {"expense": 2, "runnable": 1, "waiting": 1, "sleeping": 1}
