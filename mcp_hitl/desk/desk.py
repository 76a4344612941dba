"""The desk: every way in which a front-end reads or changes what is pending."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio

from mcp_hitl.desk.acting import Acting
from mcp_hitl.desk.entering import Entering
from mcp_hitl.desk.feed import Feed
from mcp_hitl.desk.looking import Clock
from mcp_hitl.desk.searching import Searching
from mcp_hitl.domain.clients import Client
from mcp_hitl.domain.errors import NotAllowed
from mcp_hitl.domain.instants import from_ms, to_ms
from mcp_hitl.domain.policy import Profile
from mcp_hitl.domain.rulebook import Rulebook
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

if TYPE_CHECKING:
    from mcp_hitl.desk.evidence import Evidence
    from mcp_hitl.desk.flow import Flow
    from mcp_hitl.desk.runner import Runner
    from mcp_hitl.desk.timing import Timers


def system_clock() -> datetime:
    """The present instant in UTC, in the store's precision."""
    return from_ms(to_ms(datetime.now(UTC)))


class Desk(Acting, Entering, Searching):
    """The one door to state. `open` starts what waiting needs; without it, everything but `wait` works."""

    def __init__(
        self,
        store: Store,
        *,
        inbox: str,
        rulebook: Rulebook | None = None,
        retention: timedelta | None = None,
        clock: Clock = system_clock,
    ) -> None:
        """Serve what `store` holds, by `rulebook`; `inbox` says in words where a person decides.

        `retention` is how long contents are kept after an approval has ended; None keeps them.
        """
        self._store = store
        self.rulebook = rulebook or Rulebook()
        self._inbox = inbox
        self.address: str | None = None
        self._retention = retention
        self.clock = clock
        self.feed = Feed(store)
        self.stopping = anyio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Desk"]:
        """Follow the change feed while the block runs."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.feed.run)
            try:
                yield self
            finally:
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def serve(self, flows: "Mapping[str, type[Flow[Any, Any]]] | None" = None) -> AsyncGenerator["Desk"]:
        """Follow the feed, let time do its work, and run flows while the block runs: what a server does."""
        timers, runner = self.timers(), self.runner(flows)
        async with self.open(), anyio.create_task_group() as tasks:
            tasks.start_soon(timers.run)
            tasks.start_soon(runner.run)
            try:
                yield self
            finally:
                tasks.cancel_scope.cancel()

    def stop(self) -> None:
        """Let everybody who waits go now, with what is known."""
        self.stopping.set()
        self.feed.stir()

    async def check_policy(self) -> None:
        """Keep what a policy file governs from being used without one, and a team's place from being one person's.

        Raises:
            NotAllowed: it was, and is not to be.
        """
        profile, governed = await self._store.read(lambda view: (view.profile(), view.governed()))
        if governed and not self.rulebook.written:
            raise NotAllowed("A policy file governs this database. Name it with --config or in MCP_HITL_CONFIG.")
        if profile is Profile.TEAM and self.rulebook.profile is Profile.SOLO:
            raise NotAllowed(
                'This database belongs to a team, and the policy says profile = "solo". Name the right one.'
            )
        if (profile, governed) != (self.rulebook.profile, self.rulebook.written):
            await self._store.write(self._remember_policy)

    def _remember_policy(self, tx: Transaction) -> None:
        tx.set_profile(self.rulebook.profile)
        if self.rulebook.written:
            tx.set_governed()

    async def meet(self, client: Client) -> None:
        """Record that a client is connected, for `doctor`; it has no part in what is decided."""
        await self._store.write(lambda tx: tx.meet(client, self.clock()))

    def timers(self) -> "Timers":
        """What lets time do its work on this desk."""
        from mcp_hitl.desk.timing import Timers

        kept = self._retention
        erase = None if kept is None else lambda: self.evidence().erase(None, older_than=kept)
        return Timers(self._store, self.clock, erase=erase)

    def runner(self, flows: "Mapping[str, type[Flow[Any, Any]]] | None" = None) -> "Runner":
        """What runs flows on this desk: those of the rulebook's kinds, and `flows` by kind."""
        from mcp_hitl.desk.runner import Runner, load_flows

        known = load_flows(self.rulebook, flows or {})
        return Runner(self._store, self.feed, clock=self.clock, rulebook=self.rulebook, flows=known)

    def evidence(self) -> "Evidence":
        """What an auditor asks."""
        from mcp_hitl.desk.evidence import Evidence

        return Evidence(self._store, self.rulebook, self.clock)
