"""Runs flows: claims what is runnable, runs it under a lease, and records how it ended."""

import importlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import anyio
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from mcp_hitl.desk.ending import end
from mcp_hitl.desk.feed import ANY, Feed
from mcp_hitl.desk.flow import Flow, FlowChanged, Held, LeaseLost, NotApproved, Step, Suspended, Unknown, input_of, told
from mcp_hitl.desk.journal import Journal, start
from mcp_hitl.desk.recording import begin, instant, record
from mcp_hitl.desk.redeeming import check_usable
from mcp_hitl.domain.approval import Approval, Outcome, OutcomeState, Status
from mcp_hitl.domain.audit import Event, content_digest
from mcp_hitl.domain.canonical import canonical
from mcp_hitl.domain.errors import HitlError, Invalid, Unavailable
from mcp_hitl.domain.flow import FlowState, JournalEntry, Lease
from mcp_hitl.domain.ids import RANDOM_BITS, approval_id
from mcp_hitl.domain.rulebook import Rulebook
from mcp_hitl.domain.text import one_line
from mcp_hitl.store.protocol import Store, Transaction, View

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
_RENEW_SECONDS = 10.0
_LOOK_SECONDS = 1.0
AT_ONCE = 16
MOST_ERROR = 500

AnyFlow = Flow[Any, Any]


class Claimed:
    """A flow that this process holds, with what it needs to go on."""

    def __init__(
        self, lease: Lease, approval: Approval, journal: list[JournalEntry], refused: HitlError | None
    ) -> None:
        """Held under `lease`; `refused` is why the approval may not be acted on, where it was approved."""
        self.lease, self.approval, self.journal, self.refused = lease, approval, journal, refused


class Runner:
    """Runs the flows of the kinds that this process knows. Any number of processes may, side by side."""

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
        """Run until cancelled: at once when something changed, and every second for what time does."""
        async with anyio.create_task_group() as tasks, self._feed.listen(ANY, self._stir):
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
        """Run everything that is runnable now to where it waits or ends; how many runs that were."""
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
        wake_at = view.next_wake(going) if going else None
        return bool(going and view.runnable(now, going, 1)) or (wake_at is not None and wake_at <= now)

    def _take(self, tx: Transaction, kinds: tuple[str, ...], room: int) -> list[Claimed]:
        now = begin(tx, self._clock())
        tx.wake_sleepers(now)
        claimed: list[Claimed] = []
        for flow_id in tx.runnable(now, _going(tx, kinds), room):
            lease = tx.claim_flow(flow_id, now, now + LEASE)
            if lease is None:
                continue
            approval = _readable(tx, lease.approval)
            if approval is None:
                continue
            start(tx, approval, now)
            claimed.append(Claimed(lease, approval, tx.journal(flow_id), self._refused(tx, approval)))
        return claimed

    def _refused(self, view: View, approval: Approval) -> HitlError | None:
        if approval.status is Status.APPROVED:
            try:
                check_usable(view, approval, self._clock(), self._rulebook)
            except HitlError as error:
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
        """Carry a flow on while `_keep` keeps hold of it; leave it alone once somebody else has it."""
        async with self._room:
            with anyio.CancelScope() as scope:
                self._held[claimed.lease] = scope
                try:
                    await self._carry_on(claimed)
                finally:
                    del self._held[claimed.lease]
        self._stirred.set()

    async def _keep(self) -> None:
        """Lengthen the leases of what runs; let go of a flow that somebody else has."""
        while True:
            await anyio.sleep(_RENEW_SECONDS)
            leases = list(self._held)
            if leases:
                for lease in await self._renew(leases):
                    if lease in self._held:
                        self._held[lease].cancel()

    async def _renew(self, leases: list[Lease]) -> list[Lease]:
        """Lengthen the leases; those that are lost."""

        def work(tx: Transaction) -> list[Lease]:
            until = begin(tx, self._clock()) + LEASE
            return [lease for lease in leases if not tx.renew(lease, until)]

        try:
            return await self._store.write(work)
        except Exception as error:
            logger.warning("leases cannot be renewed: %s", error, exc_info=not isinstance(error, HitlError))
            return []  # as far as we know; if not, nothing that we write will be taken

    async def _carry_on(self, claimed: Claimed) -> None:
        journal = Journal(
            self._store,
            claimed.lease,
            claimed.approval,
            claimed.journal,
            clock=self._clock,
            rulebook=self._rulebook,
            new_id=_new_id,
            refused=claimed.refused,
        )
        try:
            await self._conclude(claimed, journal)
        except LeaseLost:
            logger.info("another process carries %s on", claimed.lease.flow)
        except Unavailable as error:
            logger.warning("%s stops for now: %s", claimed.lease.flow, error)

    async def _give_back(self, lease: Lease) -> None:
        """Let go of a flow because this process stops, so that the next one need not wait for the lease to run out."""
        try:
            await self._store.write(lambda tx: tx.renew(lease, begin(tx, self._clock())))
        except Unavailable as error:
            logger.info("the lease of %s was not given back: %s", lease.flow, error)

    async def _conclude(self, claimed: Claimed, journal: Journal) -> None:
        """Run the flow to where it waits or ends, and record how it ended."""
        try:
            result = await self._run(claimed, journal)
        except Held:
            await self._store.write(lambda tx: self._let_go(tx, claimed.lease, journal))
        except Suspended:
            pass
        except (LeaseLost, Unavailable):
            raise
        except (Unknown, FlowChanged) as error:
            await self._finish(claimed, journal, FlowState.UNKNOWN, Outcome(OutcomeState.UNKNOWN, None, _told(error)))
        except Exception as error:
            if not isinstance(error, HitlError | NotApproved):
                # A traceback of pydantic's would repeat the values that it refused.
                trace = None if isinstance(error, ValidationError) else error
                logger.warning("the flow of %s failed: %s", claimed.approval.id, told(error), exc_info=trace)
            await self._finish(claimed, journal, FlowState.FAILED, Outcome(OutcomeState.FAILED, None, _told(error)))
        else:
            await self._finish(claimed, journal, FlowState.DONE, Outcome(OutcomeState.SUCCEEDED, result))

    async def _run(self, claimed: Claimed, journal: Journal) -> dict[str, Any] | None:
        flow = self._flows[claimed.lease.kind]
        try:
            first = claimed.approval.edits[0].before if claimed.approval.edits else claimed.approval.payload
            result = _as_object(await flow().run(input_of(flow, first), Step(journal)))
        except Exception:
            journal.finish()
            raise
        journal.finish()
        return result

    def _let_go(self, tx: Transaction, lease: Lease, journal: Journal) -> None:
        """Let go of a flow that the emergency stop has met; if it is not its own kind's, to look again in a while."""
        now = begin(tx, self._clock())
        journal.write_held_back(tx, now)
        tx.renew(lease, now if tx.paused(lease.kind) else now + timedelta(seconds=_LOOK_SECONDS))

    async def _finish(self, claimed: Claimed, journal: Journal, state: FlowState, outcome: Outcome) -> None:
        def work(tx: Transaction) -> None:
            now = begin(tx, self._clock())
            journal.write_held_back(tx, now)
            if not tx.leave_flow(claimed.lease, state):
                raise LeaseLost
            # A resolved approval stays as it is, so that it need not be read again.
            resolved = claimed.approval.status is not Status.PENDING
            approval = claimed.approval if resolved else tx.lock(claimed.approval.id)
            if approval is None:
                return
            if approval.status is Status.PENDING:
                end(tx, approval, Status.CANCELLED, now, reason=outcome.error)
            acted = approval.status in {Status.APPROVED, Status.PENDING} or outcome.state is not OutcomeState.FAILED
            if not acted:
                return
            tx.set_outcome(approval.id, outcome)
            event = {
                OutcomeState.SUCCEEDED: Event.SUCCEEDED,
                OutcomeState.UNKNOWN: Event.UNKNOWN,
            }.get(outcome.state, Event.FAILED)
            record(tx, approval, event, now, result=content_digest(outcome.result), error=content_digest(outcome.error))

        try:
            await self._store.write(work)
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            if outcome.state is OutcomeState.UNKNOWN:
                raise
            # What it came to cannot be recorded; that it ran can, and a person finds out the rest.
            journal.drop_held_back()
            text = f"it ended as {outcome.state.value}, and that could not be recorded: {told(error)}"
            await self._finish(claimed, journal, FlowState.UNKNOWN, Outcome(OutcomeState.UNKNOWN, None, text))


def load_flows(rulebook: Rulebook, given: Mapping[str, type[AnyFlow]]) -> dict[str, type[AnyFlow]]:
    """The flow of each kind that has one: the one that is `given`, else imported from where the kind says.

    Raises:
        Invalid: it is not there, or is no flow.
    """
    flows = dict(given)
    for kind in rulebook.kinds.values():
        if kind.flow is not None and kind.name not in flows:
            module, _, name = kind.flow.partition(":")
            where = f"The flow {kind.flow!r} of the kind {kind.name!r}"
            try:
                found = getattr(importlib.import_module(module), name)
            except Exception as error:  # whatever its module does when it is imported
                raise Invalid(f"{where} cannot be imported: {_told(error)}") from None
            if not (isinstance(found, type) and issubclass(found, Flow)):
                raise Invalid(f"{where} is no Flow: it must be a class that derives from mcp_hitl.Flow.")
            flows[kind.name] = found
    return flows


def _readable(view: View, approval_id: str) -> Approval | None:
    """An approval; None, and a line in the log, where somebody has written past this program."""
    try:
        return view.get(approval_id)
    except (ValueError, KeyError, TypeError) as error:
        logger.error("%s cannot be read: %r", approval_id, error)
        return None


def _going(view: View, kinds: Sequence[str]) -> list[str]:
    """Those of the kinds that are not stopped."""
    return [kind for kind in kinds if not view.paused(kind)]


def _new_id(now: datetime) -> str:
    return approval_id(now, secrets.randbits(RANDOM_BITS))


def _as_object(result: object) -> dict[str, Any] | None:
    plain: Any = to_jsonable_python(result, by_alias=True)
    canonical(plain, what="the flow's result")
    if plain is None or isinstance(plain, dict):
        return cast("dict[str, Any] | None", plain)
    return {"value": plain}


def _told(error: Exception) -> str:
    ours = isinstance(error, HitlError | NotApproved | Unknown | FlowChanged)
    return one_line(str(error) if ours else told(error), MOST_ERROR)
