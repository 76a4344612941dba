"""What runs in the background of every process that serves: the change feed, the timers, and the flows."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

from mcp_hitl.desk import Desk
from mcp_hitl.engine.flow import Flow
from mcp_hitl.engine.runner import Runner, load_flows
from mcp_hitl.engine.timers import Timers

Flows = Mapping[str, type[Flow[Any, Any]]]


@asynccontextmanager
async def serve(desk: Desk, flows: Flows | None = None) -> AsyncGenerator[Desk]:
    """Follow the feed, run the timers and run flows while the block runs: everything that a server does."""
    timers, runner = timers_of(desk), runner_of(desk, flows)
    async with desk.open(), anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        tasks.start_soon(runner.run)
        try:
            yield desk
        finally:
            tasks.cancel_scope.cancel()


def timers_of(desk: Desk) -> Timers:
    """Return the timers of a desk: reminders, escalations, expiry, and erasing."""
    kept = desk.retention
    erase = None if kept is None else lambda: desk.evidence().erase(None, older_than=kept)
    return Timers(desk.store, desk.clock, erase=erase)


def runner_of(desk: Desk, flows: Flows | None = None) -> Runner:
    """Return the runner for a desk's flows: those of the rulebook's kinds, and `flows` by kind."""
    known = load_flows(desk.rulebook, flows or {})
    return Runner(desk.store, desk.feed, clock=desk.clock, rulebook=desk.rulebook, flows=known)
