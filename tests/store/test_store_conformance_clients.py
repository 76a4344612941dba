"""What every store promises of the clients that have connected, and of what an examination asks."""

from dataclasses import replace
from datetime import timedelta

import pytest
from samples import START, an_approval

from mcp_hitl.domain.approvals.approval import Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.clients import MOST_CLIENTS, Acquaintance, Client, Transport
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.approvals.stop import Stop
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio
DESKTOP = Client("Claude Desktop", "1.2", "2025-11-25", Transport.STDIO, forms=False, url=False)
LATER = START + timedelta(hours=1)


async def met(store: Store) -> list[Acquaintance]:
    return await store.read(lambda view: view.clients.all())


async def test_a_client_is_kept_with_its_first_and_last_instant(store: Store) -> None:
    assert await met(store) == []
    for at in (START, LATER, START):
        await store.write(lambda tx, at=at: tx.clients.meet(DESKTOP, at))
    assert await met(store) == [Acquaintance(DESKTOP, START, LATER)]


@pytest.mark.parametrize(
    "other",
    [
        replace(DESKTOP, name="claude desktop"),
        replace(DESKTOP, version=""),
        replace(DESKTOP, protocol="2026-07-28"),
        replace(DESKTOP, transport=Transport.HTTP),
        replace(DESKTOP, forms=True),
        replace(DESKTOP, url=True),
    ],
    ids=["name", "version", "protocol", "transport", "forms", "url"],
)
async def test_clients_that_differ_in_anything_are_two_the_last_seen_first(store: Store, other: Client) -> None:
    await store.write(lambda tx: tx.clients.meet(DESKTOP, LATER))
    await store.write(lambda tx: tx.clients.meet(other, START))
    assert await met(store) == [Acquaintance(DESKTOP, LATER, LATER), Acquaintance(other, START, START)]


async def test_only_the_newest_are_kept(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.clients.meet(DESKTOP, START)
        for number in range(MOST_CLIENTS + 5):
            tx.clients.meet(replace(DESKTOP, version=str(number)), START + timedelta(seconds=number))
            tx.clients.meet(DESKTOP, START + timedelta(seconds=number))

    await store.write(work)
    kept = [one.client.version for one in await met(store)]
    assert len(kept) == MOST_CLIENTS
    assert kept[:2] == ["1.2", str(MOST_CLIENTS + 4)] or kept[:2] == [str(MOST_CLIENTS + 4), "1.2"]
    assert "0" not in kept


async def test_stops_say_who_and_since_when(store: Store) -> None:
    await store.write(lambda tx: tx.stops.pause("expense", "os:ana", START))
    await store.write(lambda tx: tx.stops.pause(None, "os:bo", LATER))
    assert await store.read(lambda view: view.stops.all()) == [
        Stop(None, "os:bo", LATER),
        Stop("expense", "os:ana", START),
    ]


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
