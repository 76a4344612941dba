"""The desk: everything that a front-end can read or change."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import anyio

from mcp_hitl.desk.approvals import Approvals
from mcp_hitl.desk.context import Context
from mcp_hitl.desk.copies import Copies
from mcp_hitl.desk.decisions import Decisions
from mcp_hitl.desk.search import Search
from mcp_hitl.desk.sign_in import InboxAccess
from mcp_hitl.desk.stops import Stops
from mcp_hitl.desk.timekeeping import Clock, told_by
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.desk.transactions.log_entries import GRAIN, begin, record
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.clients import Client
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.evidence.events import PolicyChanged
from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import NotAllowed
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

if TYPE_CHECKING:
    from mcp_hitl.desk.evidence import Evidence

T = TypeVar("T")


class Desk:
    """The one door to state, in parts. `open` starts the change feed, which only `wait` needs."""

    def __init__(
        self,
        store: Store,
        *,
        effects: Effects,
        rulebook: Rulebook | None = None,
        retention: timedelta | None = None,
        clock: Clock | None = None,
        vouched: bool = False,
    ) -> None:
        """Serve the approvals in `store` by `rulebook`. `effects` is what kinds do when they are approved.

        `retention` is how long contents are kept after an approval has ended; None keeps them forever. `clock`
        is the computer's, unless something else is given. With `vouched`, the record says of everybody who acts here
        that a program named them.
        """
        self.clock = told_by(clock)
        self._at = at = Context(store, rulebook or Rulebook(), self.clock, effects, vouched=vouched)
        self.store = store
        self.retention = retention
        self.effects = effects
        self.feed = at.feed
        self.stopping = at.stopping
        self.approvals = Approvals(at)
        self.decisions = Decisions(at)
        self.search = Search(at)
        self.stops = Stops(at)
        self.copies = Copies(at)
        self.inbox = InboxAccess(at)

    @property
    def rulebook(self) -> Rulebook:
        """The policy by which this desk decides."""
        return self._at.rulebook

    @rulebook.setter
    def rulebook(self, rulebook: Rulebook) -> None:
        self._at.rulebook = rulebook

    def see(self, principal: Principal, approval: Approval, now: datetime) -> Seen:
        """Return what the principal sees of an approval; see `Context.see`."""
        return self._at.see(principal, approval, now)

    async def read(self, work: Callable[[View], T]) -> T:
        """Return what `work` reads in the tables that a flow or an effect has of its own."""
        return await self.store.read(work)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Desk"]:
        """Follow the change feed while the block runs."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.feed.run)
            try:
                yield self
            finally:
                tasks.cancel_scope.cancel()

    def stop(self) -> None:
        """Make everybody who is waiting return now, with the present state."""
        self.stopping.set()
        self.feed.stir()

    async def check_policy(self, who: Principal | None = None) -> None:
        """Refuse to use a database without its policy file, or a team's database with a solo policy.

        If it is opened with another policy file than the last time, that becomes an entry of the log, by `who`.
        Every program calls this first. It checks the clock before it writes anything: a time on record is believed, so
        one that was written while the clock had leapt would let every process believe the leap. If an older copy of the
        database was put back, that is recorded here too.

        Raises:
            NotAllowed: the database needs a policy file, or a team policy.
        """
        profile, governed, policy = await self.store.read(
            lambda view: (view.facts.profile(), view.facts.governed(), view.facts.policy())
        )
        if governed and not self.rulebook.written:
            raise NotAllowed("This database has a policy file. Name it with --config or in MCP_HITL_CONFIG.")
        if profile is Profile.TEAM and self.rulebook.profile is Profile.SOLO:
            raise NotAllowed(
                'This database belongs to a team, but the policy has profile = "solo". Name the team policy.'
            )
        await self.check_clock()
        known = (profile, governed, policy)
        if known != (self.rulebook.profile, self.rulebook.written, self.rulebook.digest):
            await self.store.write(partial(self._remember_policy, who=who))
        await self.copies.notice()

    async def go_by(self, rulebook: Rulebook) -> None:
        """Go by another policy from now on, and record it as `check_policy` does; nobody is named as who changed it.

        One that may not be used with this database has a mistake then, so nothing is decided by either.
        """
        self.rulebook, before = rulebook, self.rulebook
        if rulebook.mistake is None:
            try:
                await self.check_policy()
            except NotAllowed as error:
                self.rulebook = replace(before, mistake=str(error))

    async def check_clock(self) -> None:
        """Compare the computer's clock with the time that it has been running, and go by what people confirmed.

        Until this is called, the clock is believed. While a clock that was set back catches up, the time is recorded:
        a process that starts knows no other, and would tell an earlier one.
        """
        known, mark = await self.store.read(lambda view: (view.facts.boot(self.clock.boot_id), view.facts.mark()))
        boot = self.clock.check(known, mark)
        if boot is not None:
            await self.store.write(lambda tx: tx.facts.set_boot(boot))
        if self.clock.catches_up and self.clock() >= mark + GRAIN:
            await self.store.write(lambda tx: begin(tx, self.clock()))

    def _remember_policy(self, tx: Transaction, who: Principal | None) -> None:
        tx.facts.set_profile(self.rulebook.profile)
        if self.rulebook.written:
            tx.facts.set_governed()
        was, digest = tx.facts.policy(), self.rulebook.digest
        if digest is not None and digest != was:
            tx.facts.set_policy(digest)
            record(tx, None, PolicyChanged(policy=digest, was=was), begin(tx, self.clock()), who)

    async def meet(self, client: Client) -> None:
        """Record that a client is connected, for `doctor`. This has no influence on decisions."""
        await self.store.write(lambda tx: tx.clients.meet(client, self.clock()))

    @cached_property
    def evidence(self) -> "Evidence":
        """The evidence: what an auditor needs."""
        from mcp_hitl.desk.evidence import Evidence

        return Evidence(self._at)
