"""Older copies of the database that were put back in its place."""

from mcp_hitl.desk.context import Context
from mcp_hitl.desk.transactions import restore
from mcp_hitl.desk.transactions.log_entries import begin
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.store.view import View


class Copies:
    """The part of the desk that knows whether its database is an older copy."""

    def __init__(self, at: Context) -> None:
        """Work where `at` says."""
        self._at = at

    async def older(self) -> int | None:
        """Return the last entry that is known, if an older copy without it was put back and nobody has confirmed that.

        It is 0 if nobody knows, and None if nothing is to be confirmed.
        """
        return await self._at.store.read(older)

    async def notice(self) -> None:
        """Record that an older copy was put back, if it was."""
        if await self._at.store.read(lambda view: view.log.lost()) is not None:
            await self._at.store.write(lambda tx: begin(tx, self._at.clock()))

    async def confirm(self, who: Principal) -> bool:
        """Let the older copy be used, since a person has looked. Return False if nothing was put back."""
        return await self._at.store.write(lambda tx: restore.confirm(tx, self._at.who(who), self._at.clock()))


def older(view: View) -> int | None:
    """See `Copies.older`."""
    lost = view.log.lost()
    return lost[0] if lost is not None else view.facts.restored()
