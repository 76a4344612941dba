"""Checks the computer's clock again and again, so that all processes go by the same time."""

from collections.abc import Collection

from mcp_hitl.desk import Desk
from mcp_hitl.domain.evidence.event_names import Event


class ClockCheck:
    """Records leaps that were believed, and learns of those that a person has confirmed."""

    name = "the clock's check"
    wakes_on: Collection[Event] = frozenset({Event.CLOCK_RESET})
    seconds = 60.0

    def __init__(self, desk: Desk) -> None:
        """Check the clock of `desk`."""
        self._desk = desk

    async def turn(self) -> None:
        """Check the clock."""
        await self._desk.check_clock()
