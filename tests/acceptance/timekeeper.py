"""A process that lets time do its work on a database that others work on too: `python timekeeper.py DATABASE HOURS`.

It says "ready", waits for a line, and then does everything that has fallen due; it prints how much that was.
"""

import sys
from datetime import timedelta

import anyio
from samples import START

from mcp_hitl.config.location import Location
from mcp_hitl.desk import Desk
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import timers_of
from mcp_hitl.store.opening import open_store


async def main(database: Location, hours: float) -> None:
    """Be ready, wait for the others, and let time pass to so many hours after the beginning."""
    now = START + timedelta(hours=hours)
    store = open_store(database)
    timers = timers_of(Desk(store, effects=EFFECTS, clock=lambda: now))
    print("ready", flush=True)
    sys.stdin.readline()
    print(await timers.catch_up(), flush=True)
    await store.close()


if __name__ == "__main__":
    anyio.run(main, Location(sys.argv[1]), float(sys.argv[2]))
