"""Ends a server whose database is gone: it can answer nothing, and started again it opens what is there now.

A file that is put back within moments is used again, as if nothing had been.
"""

import logging
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from mcp_hitl.cli.running import DONE, REFUSED
from mcp_hitl.domain.values.beats import next_beat
from mcp_hitl.store.store import Store

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 2.0


@asynccontextmanager
async def ending_without(store: Store) -> AsyncGenerator[None]:
    """While the block runs, end this process, as SIGTERM does, once its database is gone and does not come back."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, store)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


def exit_code(store: Store) -> int:
    """Return the exit code of a server that has ended."""
    return DONE if store.gone() is None else REFUSED


async def _watch(store: Store) -> None:
    since: float | None = None
    while True:
        why, now = store.gone(), anyio.current_time()
        if why is None and since is not None:
            logger.error("The database is back.")
            since = None
        elif why is not None and since is None:
            logger.error("%s This server answers nothing until then, and ends in %g seconds.", why, _PATIENCE_SECONDS)
            since = now
        elif since is not None and now - since >= _PATIENCE_SECONDS:
            logger.error("The database is still gone. This server ends now.")
            signal.raise_signal(signal.SIGTERM)
            return
        await anyio.sleep_until(next_beat(anyio.current_time(), _LOOK_SECONDS))
