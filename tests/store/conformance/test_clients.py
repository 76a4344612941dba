"""What every store promises of the clients that have connected."""

from dataclasses import replace
from datetime import timedelta

import pytest
from samples import START

from mcp_hitl.domain.approvals.clients import MOST_CLIENTS, Acquaintance, Client, Transport
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
