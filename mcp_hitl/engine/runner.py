"""Runs flows: claims those that are runnable, runs each under a lease, and records how it ended."""

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import anyio

from mcp_hitl.desk.feed import ANY, Feed
from mcp_hitl.desk.transactions.record import begin, instant
from mcp_hitl.desk.transactions.redeem import check_valid
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.flow import Lease
from mcp_hitl.domain.evidence.audit import Event
from mcp_hitl.domain.evidence.events import RESOLVING
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import HitlError, Invalid, NotAllowed, Unavailable
from mcp_hitl.engine.flow import Flow
from mcp_hitl.engine.run import AnyFlow, Claimed, Run, in_words
from mcp_hitl.engine.waits import start
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

logger = logging.getLogger(__name__)

_STIRRING = RESOLVING | {Event.OPENED, Event.RESUMED}
"""After these events there may be something to run. A regular check finds the flows that became due by time."""
LEASE = timedelta(seconds=30)
_RENEW_SECONDS = 10.0
_LOOK_SECONDS = 1.0
AT_ONCE = 16


class Runner:
    """Runs the flows of the kinds that this process knows. Any number of processes may do this at the same time."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        *,
        clock: Callable[[], datetime],
        rulebook: Rulebook,
        flows: Mapping[str, type[AnyFlow]],
    ) -> None:
        """Run `flows`, by kind."""
        self._store = store
        self._feed = feed
        self._clock = clock
        self._rulebook = rulebook
        self._flows = dict(flows)
        self._room = anyio.CapacityLimiter(AT_ONCE)
        self._stirred = anyio.Event()
        self._held: dict[Lease, anyio.CancelScope] = {}

    async def run(self) -> None:
        """Run until cancelled: immediately after a change, and every second for flows that became due."""
        async with anyio.create_task_group() as tasks, self._feed.listen(ANY, self._stir, events=_STIRRING):
            tasks.start_soon(self._keep)
            while True:
                self._stirred = anyio.Event()
                try:
                    for claimed in await self._claim():
                        tasks.start_soon(self._hold_safely, claimed)
                except Exception as error:
                    # Whatever it is, the server goes on, and so does every other flow.
                    logger.warning("flows cannot be run: %s", error, exc_info=not isinstance(error, HitlError))
                with anyio.move_on_after(_LOOK_SECONDS):
                    await self._stirred.wait()

    async def catch_up(self) -> int:
        """Run every flow that is runnable now until it waits or ends. Return the number of runs."""
        runs = 0
        while batch := await self._claim():
            for claimed in batch:
                await self._carry_on(claimed)
            runs += len(batch)
        return runs

    def _stir(self, _approval_id: str) -> None:
        self._stirred.set()

    async def _claim(self) -> list[Claimed]:
        room = AT_ONCE - self._room.borrowed_tokens
        kinds = tuple(self._flows)
        if room <= 0 or not kinds:
            return []
        if not await self._store.read(lambda view: self._ready(view, kinds)):
            return []
        claimed: list[Claimed] = []
        with anyio.CancelScope(shield=True):  # or what is claimed by a process that stops now would stay so for a while
            claimed = await self._store.write(lambda tx: self._take(tx, kinds, room))
        return claimed

    def _ready(self, view: View, kinds: tuple[str, ...]) -> bool:
        now, going = instant(view, self._clock()), _going(view, kinds)
        wake_at = view.flows.next_wake(going) if going else None
        return bool(going and view.flows.runnable(now, going, 1)) or (wake_at is not None and wake_at <= now)

    def _take(self, tx: Transaction, kinds: tuple[str, ...], room: int) -> list[Claimed]:
        now = begin(tx, self._clock())
        tx.flows.wake_sleepers(now)
        claimed: list[Claimed] = []
        for flow_id in tx.flows.runnable(now, _going(tx, kinds), room):
            lease = tx.flows.claim(flow_id, now, now + LEASE)
            if lease is None:
                continue
            approval = _readable(tx, lease.approval)
            if approval is None:
                continue
            start(tx, approval, now)
            claimed.append(Claimed(lease, approval, tx.flows.journal(flow_id), self._refused(tx, approval)))
        return claimed

    def _refused(self, view: View, approval: Approval) -> NotAllowed | None:
        """Return why an approval may no longer be used, or None. Paused flows are not claimed at all."""
        if approval.status is Status.APPROVED:
            try:
                check_valid(view, approval, self._clock(), self._rulebook)
            except NotAllowed as error:
                return error
        return None

    async def _hold_safely(self, claimed: Claimed) -> None:
        try:
            await self._hold(claimed)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._give_back(claimed.lease)
            raise
        except Exception as error:
            # Its lease runs out, and some server claims it again.
            logger.warning("%s stops for now", claimed.lease.flow, exc_info=error)

    async def _hold(self, claimed: Claimed) -> None:
        """Continue a flow while `_keep` renews its lease; stop when another process has it."""
        async with self._room:
            with anyio.CancelScope() as scope:
                self._held[claimed.lease] = scope
                try:
                    await self._carry_on(claimed)
                finally:
                    del self._held[claimed.lease]
        self._stirred.set()

    async def _keep(self) -> None:
        """Renew the leases of running flows; cancel a flow that another process has taken."""
        while True:
            await anyio.sleep(_RENEW_SECONDS)
            leases = list(self._held)
            if leases:
                for lease in await self._renew(leases):
                    if lease in self._held:
                        self._held[lease].cancel()

    async def _renew(self, leases: list[Lease]) -> list[Lease]:
        """Renew the leases. Return those that are lost."""

        def work(tx: Transaction) -> list[Lease]:
            until = begin(tx, self._clock()) + LEASE
            return [lease for lease in leases if not tx.flows.renew(lease, until)]

        try:
            return await self._store.write(work)
        except Exception as error:
            logger.warning("leases cannot be renewed: %s", error, exc_info=not isinstance(error, HitlError))
            return []  # as far as we know; if not, nothing that we write will be taken

    async def _carry_on(self, claimed: Claimed) -> None:
        flow = self._flows[claimed.lease.kind]
        await Run(self._store, claimed, flow, clock=self._clock, rulebook=self._rulebook).carry_on()

    async def _give_back(self, lease: Lease) -> None:
        """Release a flow because this process stops, so that the next process need not wait until the lease expires."""
        try:
            await self._store.write(lambda tx: tx.flows.renew(lease, begin(tx, self._clock())))
        except Unavailable as error:
            logger.info("the lease of %s was not given back: %s", lease.flow, error)


def load_flows(rulebook: Rulebook, given: Mapping[str, type[AnyFlow]]) -> dict[str, type[AnyFlow]]:
    """Return the flow of each kind that has one: the one in `given`, or else the one imported from the kind's path.

    Raises:
        Invalid: it cannot be imported, or is not a flow.
    """
    flows = dict(given)
    for kind in rulebook.kinds.values():
        if kind.flow is not None and kind.name not in flows:
            module, _, name = kind.flow.partition(":")
            where = f"The flow {kind.flow!r} of the kind {kind.name!r}"
            try:
                found = getattr(importlib.import_module(module), name)
            except Exception as error:  # whatever its module does when it is imported
                raise Invalid(f"{where} cannot be imported: {in_words(error)}") from None
            if not (isinstance(found, type) and issubclass(found, Flow)):
                raise Invalid(f"{where} is not a Flow: it must be a class that derives from mcp_hitl.Flow.")
            flows[kind.name] = found
    return flows


def _readable(view: View, approval_id: str) -> Approval | None:
    """Return an approval; None, with a line in the log, if somebody changed it with another program."""
    try:
        return view.approvals.get(approval_id)
    except (ValueError, KeyError, TypeError) as error:
        logger.error("%s cannot be read: %r", approval_id, error)
        return None


def _going(view: View, kinds: Sequence[str]) -> list[str]:
    """Return those kinds that are not paused."""
    return [kind for kind in kinds if not view.stops.paused(kind)]
