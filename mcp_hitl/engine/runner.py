"""Runs flows: claims those that are runnable, runs each under a lease, and records how it ended."""

import importlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import cast

from mcp_hitl.config.title_templates import check_kept
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.desk.transactions.log_entries import instant, is_stopped
from mcp_hitl.desk.transactions.redeem import check_valid
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.flow import JournalEntry, Lease
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.evidence.events import RESOLVING
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid, NotAllowed, Unreadable
from mcp_hitl.engine.claims import Claims, Taking
from mcp_hitl.engine.codec import marks
from mcp_hitl.engine.flow import Flow
from mcp_hitl.engine.rest import Rest
from mcp_hitl.engine.run import AnyFlow, Claimed, Make, Run, in_words
from mcp_hitl.engine.waits import start
from mcp_hitl.store.lists import id_of
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

logger = logging.getLogger(__name__)

AT_ONCE = 16


class Runner:
    """Runs the flows of the kinds that this process knows. Any number of processes may do this at the same time."""

    name = "the flows"
    wakes_on: Collection[Event] = RESOLVING | {Event.OPENED, Event.RESUMED, Event.RESTORE_CONFIRMED}
    """After these events there may be something to run. A regular check finds the flows that became due by time."""
    seconds = 1.0

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], datetime],
        rulebook: Callable[[], Rulebook],
        effects: Effects,
        flows: Mapping[str, type[AnyFlow]],
        make: Make,
    ) -> None:
        """Run `flows`, by kind; `rulebook` is the present one, `make` returns the instance of a flow for one run."""
        self._store = store
        self._clock = clock
        self._rulebook = rulebook
        self._effects = effects
        self._flows = dict(flows)
        self._paths = {name: _path(rulebook(), name) for name in flows}
        """Where the code of each flow was found. A policy file that names other code since is not followed there."""
        self._make = make
        self._claims = Claims(store, clock, _FLOW_LEASES, at_once=AT_ONCE)
        self._rest = Rest(store, clock)

    async def turn(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """Renew what is claimed, and claim what is runnable now. Return the runs."""
        await self._claims.renew()
        if self._rest.lasts:
            return []
        self._rest.prepare()
        return [partial(self._hold, claimed) for claimed in await self._claim()]

    async def catch_up(self) -> int:
        """Run every flow that is runnable now until it waits or ends. Return the number of runs."""
        runs = 0
        try:
            while batch := await self._claim():
                for claimed in batch:
                    await self._hold(claimed)
                runs += len(batch)
        finally:
            self._claims.drop()
        return runs

    async def _claim(self) -> list[Claimed]:
        rulebook = self._rulebook()
        if rulebook.mistake is not None:
            return []  # nothing can be judged, and a flow that asks for that would fail
        known = [name for name in self._flows if _path(rulebook, name) == self._paths[name]]
        kinds = {name: kind.code if (kind := rulebook.kinds.get(name)) else None for name in known}
        if self._claims.room <= 0 or not kinds:
            return []
        ready, later = await self._store.read(lambda view: self._ready(view, kinds))
        if not ready:
            self._rest.until(later)
            return []
        return await self._claims.take(partial(self._take, kinds), lambda claimed: claimed.lease)

    def _ready(self, view: View, kinds: Mapping[str, str | None]) -> tuple[bool, datetime | None]:
        """Return whether there is something to claim, and when the clock alone may make it so."""
        now, going = instant(view, self._clock()), _going(view, kinds)
        if not going:
            return False, None
        if view.flows.runnable(now, going, 1):
            return True, None
        wake_at = view.flows.next_wake(going)
        return wake_at is not None and wake_at <= now, wake_at

    def _take(self, kinds: Mapping[str, str | None], tx: Transaction, taking: Taking[Lease]) -> list[Claimed]:
        now = taking.now
        tx.flows.wake_sleepers(now)
        tx.flows.disown(taking.holder, [lease.flow for lease in taking.held])
        alive = [holder for holder in tx.flows.holders() if self._store.is_held(holder)]
        ready = tx.flows.runnable(now, _going(tx, kinds), self._claims.room, alive)
        leases = tx.flows.claim(ready, now, taking.until, taking.holder)
        claimed: list[Claimed] = []
        for lease, approval, journal in _readable(tx, leases):
            start(tx, approval, now)
            claimed.append(Claimed(lease, approval, journal, self._refused(tx, approval)))
        return claimed

    def _refused(self, view: View, approval: Approval) -> NotAllowed | None:
        """Return why an approval may no longer be used, or None. Paused flows are not claimed at all."""
        if approval.status is Status.APPROVED:
            try:
                check_valid(view, approval, self._clock(), self._rulebook())
            except NotAllowed as error:
                return error
        return None

    async def _hold(self, claimed: Claimed) -> None:
        await self._claims.hold(claimed.lease, claimed.lease.flow, partial(self._carry_on, claimed))

    async def _carry_on(self, claimed: Claimed) -> None:
        flow = self._flows[claimed.lease.kind]
        run = Run(
            self._store,
            claimed,
            flow,
            clock=self._clock,
            rulebook=replace(self._rulebook(), mistake=None),  # one that appears now counts for the next run
            effects=self._effects,
            make=self._make,
        )
        await run.carry_on()


def load_flows(rulebook: Rulebook, given: Mapping[str, type[AnyFlow]]) -> dict[str, type[AnyFlow]]:
    """Return the flow of each kind that has one: the one in `given`, or else the one imported from the kind's path.

    Raises:
        Invalid: it cannot be imported, is not a flow, or the kind would show what it takes as a secret.
    """
    flows = dict(given)
    for kind in rulebook.kinds.values():
        if kind.flow is not None and kind.name not in flows:
            module, _, name = kind.flow.partition(":")
            where = f"The flow {kind.flow!r} of the kind {kind.name!r}"
            try:
                found = getattr(importlib.import_module(module), name)
            except (Exception, SystemExit) as error:  # whatever its module does when it is imported
                raise Invalid(f"{where} cannot be imported: {in_words(error)}") from None
            if not (isinstance(found, type) and issubclass(found, Flow)):
                raise Invalid(f"{where} is not a Flow: it must be a class that derives from mcp_hitl.Flow.")
            flow = cast("type[AnyFlow]", found)
            check_kept(kind, marks(flow.run))
            flows[kind.name] = flow
    return flows


def _path(rulebook: Rulebook, name: str) -> str | None:
    kind = rulebook.kinds.get(name)
    return None if kind is None else kind.flow


class _FlowLeases:
    """The leases on flows, as `Leases` has them."""

    name = "flows"

    def renew(self, tx: Transaction, lease: Lease, until: datetime) -> bool:
        return tx.flows.renew(lease, until)

    def release(self, tx: Transaction, lease: Lease, until: datetime) -> bool:
        return tx.flows.release(lease, until)


_FLOW_LEASES = _FlowLeases()


def _readable(view: View, leases: Sequence[Lease]) -> Iterator[tuple[Lease, Approval, list[JournalEntry]]]:
    """Return the approvals and the journals of these flows, without those that somebody changed elsewhere.

    The lease of such a flow runs out, and it is tried again then; the other flows go on meanwhile.
    """
    approvals = {id_of(one): one for one in view.approvals.listed([lease.approval for lease in leases])}
    journals = view.flows.journals([lease.flow for lease in leases])
    for lease in leases:
        approval, journal = approvals.get(lease.approval), journals[lease.flow]
        wrong = next((one for one in (approval, journal) if isinstance(one, Unreadable)), None)
        if wrong is not None:
            logger.error("the flow of %s does not run. %s (%s)", lease.approval, wrong, wrong.why)
        elif approval is not None:
            yield lease, cast("Approval", approval), cast("list[JournalEntry]", journal)


def _going(view: View, kinds: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return those kinds, with their code, that are not stopped."""
    return {kind: code for kind, code in kinds.items() if not is_stopped(view, kind)}
