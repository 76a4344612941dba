"""Looks again and again whether an older copy was put in the place of the database (THREATS T43)."""

from collections.abc import Collection

from mcp_hitl.desk import Desk
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.engine.rest import Rest


class OlderCopies:
    """Records it soon: what shows it may be gone when the last process closes the database."""

    name = "the look for older copies"
    wakes_on: Collection[Event] = ()
    seconds = 0.5

    def __init__(self, desk: Desk) -> None:
        """Look at the database of `desk`."""
        self._desk = desk
        self._rest = Rest(desk.store, desk.clock)

    async def turn(self) -> None:
        """Record an older copy, if there is one."""
        if not self._rest.lasts:
            self._rest.prepare()
            await self._desk.copies.notice()
            self._rest.until(None)
