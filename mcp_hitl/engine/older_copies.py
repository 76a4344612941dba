"""Looks again and again whether an older copy was put in the place of the database (THREATS T43)."""

from collections.abc import Collection

from mcp_hitl.desk import Desk
from mcp_hitl.domain.evidence.event_names import Event


class OlderCopies:
    """Records it soon: what shows it may be gone when the last process closes the database."""

    name = "the look for older copies"
    wakes_on: Collection[Event] = ()
    seconds = 0.5

    def __init__(self, desk: Desk) -> None:
        """Look at the database of `desk`."""
        self._desk = desk

    async def turn(self) -> None:
        """Record an older copy, if there is one."""
        await self._desk.copies.notice()
