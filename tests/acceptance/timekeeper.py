"""What a process does that lets time do its work on a database that others work on too, at the same moment."""

from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import anyio
from samples import START

from mcp_hitl.config.location import Location
from mcp_hitl.desk import Desk
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import timers_of
from mcp_hitl.store.opening import open_store


def let_pass(database: Location, hours: float, barrier: Barrier, moved: "Queue[int]") -> None:
    """Wait for the others, and do everything that is due so many hours after the beginning; put how much that was."""
    anyio.run(_let_pass, database, hours, barrier, moved)


async def _let_pass(database: Location, hours: float, barrier: Barrier, moved: "Queue[int]") -> None:
    store = open_store(database)
    timers = timers_of(Desk(store, effects=EFFECTS, clock=lambda: START + timedelta(hours=hours)))
    barrier.wait(60)
    moved.put(await timers.catch_up())
    await store.close()
