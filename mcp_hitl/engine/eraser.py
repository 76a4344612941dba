"""Erases contents that have been kept for the retention time."""

from collections.abc import Collection

from mcp_hitl.desk import Desk
from mcp_hitl.domain.evidence.event_names import Event


class Eraser:
    """Erases old contents every hour, if they are kept only for a time."""

    name = "the eraser"
    wakes_on: Collection[Event] = ()
    seconds = 3_600.0

    def __init__(self, desk: Desk) -> None:
        """Erase what `desk` need not keep any longer."""
        self._desk = desk

    async def turn(self) -> None:
        """Erase what is due now."""
        kept = self._desk.retention
        if kept is not None:
            await self._desk.evidence.erase(None, older_than=kept)
