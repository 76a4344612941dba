"""The emergency stop, and the clock that it goes by."""

from datetime import datetime

from mcp_hitl.desk.context import Context
from mcp_hitl.desk.transactions import pause
from mcp_hitl.domain.approvals.stop import Stop
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.text import visible

MAX_KIND = 64


class Stops:
    """The part of the desk that stops everything, or one kind."""

    def __init__(self, at: Context) -> None:
        """Work where `at` says."""
        self._at = at

    async def pause(self, who: Principal, kind: str | None = None) -> bool:
        """Pause a kind, or everything. Return False if it was paused already.

        Raises:
            Invalid: the name cannot be a kind's name.
        """
        # Any name: an emergency stop must not need the policy that the kind is in.
        if kind is not None and (not 1 <= len(kind) <= MAX_KIND or visible(kind) != kind):
            raise Invalid(f"kind must be a plain name of at most {MAX_KIND} characters.")
        return await self._at.store.write(lambda tx: pause.pause(tx, self._at.who(who), kind, self._at.clock()))

    async def resume(self, who: Principal, kind: str | None = None) -> bool:
        """Resume a kind, or everything. Return False if it was not paused."""
        return await self._at.store.write(lambda tx: pause.resume(tx, self._at.who(who), kind, self._at.clock()))

    async def paused(self) -> list[Stop]:
        """Return what is paused now, by whom and since when; everything first, then by kind."""
        return await self._at.store.read(lambda view: view.stops.all())

    async def reset_clock(self, who: Principal) -> datetime:
        """Trust the clock again instead of the latest instant ever recorded. Return that instant."""
        boot, clock = self._at.clock.confirm(), self._at.clock.wall()
        return await self._at.store.write(lambda tx: pause.reset_clock(tx, self._at.who(who), clock, boot))
