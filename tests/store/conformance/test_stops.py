"""Emergency stops: what every store does with them."""

from datetime import timedelta

import pytest
from samples import START

from mcp_hitl.domain.approvals.stop import Stop
from mcp_hitl.store.store import Store

pytestmark = pytest.mark.anyio
LATER = START + timedelta(hours=1)
HOUR = timedelta(hours=1)


async def test_a_stop_is_of_one_kind_or_of_everything(store: Store, other: Store) -> None:
    async def paused() -> list[bool]:
        return await other.read(lambda view: [view.stops.paused(kind) for kind in ("a", "b", None)])

    assert await paused() == [False, False, False]
    assert await store.write(lambda tx: tx.stops.pause("a", "os:cy", START)) is True
    assert await store.write(lambda tx: tx.stops.pause("a", "os:bo", START)) is False
    assert await paused() == [True, False, False]
    assert await store.write(lambda tx: tx.stops.pause(None, "os:cy", START)) is True
    assert await paused() == [True, True, True]
    assert await store.write(lambda tx: tx.stops.resume("a")) is True
    assert await store.write(lambda tx: tx.stops.resume("a")) is False
    assert await paused() == [True, True, True]
    assert await store.write(lambda tx: tx.stops.resume(None)) is True
    assert await paused() == [False, False, False]


async def test_stops_say_who_and_since_when(store: Store) -> None:
    await store.write(lambda tx: tx.stops.pause("expense", "os:ana", START))
    await store.write(lambda tx: tx.stops.pause(None, "os:bo", LATER))
    assert await store.read(lambda view: view.stops.all()) == [
        Stop(None, "os:bo", LATER),
        Stop("expense", "os:ana", START),
    ]


async def test_a_stop_tells_who_made_it_and_when(store: Store) -> None:
    assert await store.read(lambda view: view.stops.all()) == []
    await store.write(lambda tx: tx.stops.pause("expense", "os:bo", START))
    await store.write(lambda tx: tx.stops.pause(None, "os:ana", START + HOUR))
    assert await store.read(lambda view: view.stops.all()) == [
        Stop(None, "os:ana", START + HOUR),
        Stop("expense", "os:bo", START),
    ]
    await store.write(lambda tx: tx.stops.resume(None))
    assert await store.read(lambda view: view.stops.all()) == [Stop("expense", "os:bo", START)]
