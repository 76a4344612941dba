"""One run of a flow, from its claim until it waits or ends."""

import logging
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from mcp_hitl.desk.transactions.end import end
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.desk.transactions.log_entries import begin, is_stopped, record
from mcp_hitl.domain.approvals.approval import Approval, Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.flow import ENDED_AS, JournalEntry, Lease
from mcp_hitl.domain.evidence.events import result_of
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import canonical
from mcp_hitl.domain.values.errors import HitlError, NotAllowed, Unavailable
from mcp_hitl.domain.values.ids import RANDOM_BITS, approval_id
from mcp_hitl.domain.values.text import one_line
from mcp_hitl.engine.codec import taken, told
from mcp_hitl.engine.contained import contained
from mcp_hitl.engine.flow import Flow, Step
from mcp_hitl.engine.journal import Journal
from mcp_hitl.engine.pauses import Pauses
from mcp_hitl.engine.run_ends import Held, Interrupted, LeaseLost, NotApproved, RunStops, Suspended, Unknown
from mcp_hitl.engine.started import tasks_end_with_it
from mcp_hitl.engine.waits import Waits
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

logger = logging.getLogger(__name__)

MOST_ERROR = 500
_LOOK_AGAIN = timedelta(seconds=1)
"""The time until a flow is claimed again after another kind's pause or an interruption."""

AnyFlow = Flow[Any, Any]
Make = Callable[[type[Any]], AnyFlow]
"""Returns the instance of a flow for one run. The class is Any because its `__init__` takes what it needs."""


def new(flow: type[AnyFlow]) -> AnyFlow:
    """Return an instance of a flow that needs nothing."""
    return flow()


class Claimed:
    """A flow that this process has claimed, with everything it needs to continue."""

    def __init__(
        self, lease: Lease, approval: Approval, journal: list[JournalEntry], refused: NotAllowed | None
    ) -> None:
        """Make a claim under `lease`; `refused` says why the approval may no longer be used, if it was approved."""
        self.lease, self.approval, self.journal, self.refused = lease, approval, journal, refused


class Run:
    """Continues a flow under its lease, and records how it ended."""

    def __init__(
        self,
        store: Store,
        claimed: Claimed,
        flow: type[AnyFlow],
        *,
        clock: Callable[[], datetime],
        rulebook: Rulebook,
        effects: Effects,
        make: Make,
    ) -> None:
        """Continue the claimed flow; `flow` is its code, and `make` returns an instance of it."""
        self._store = store
        self._claimed = claimed
        self._flow = flow
        self._make = make
        self._clock = clock
        self._rulebook = rulebook
        self._journal = Journal(store, claimed.lease, claimed.approval, claimed.journal, clock=clock, rulebook=rulebook)
        self._pauses = Pauses(self._journal)
        self._waits = Waits(
            store,
            self._journal,
            self._pauses,
            rulebook=rulebook,
            effects=effects,
            new_id=_new_id,
            refused=claimed.refused,
        )

    async def carry_on(self) -> None:
        """Run the flow until it waits or ends. Stop if the lease or the database is lost."""
        try:
            async with self._journal.activity.run():
                await self._conclude()
        except LeaseLost:
            logger.info("another process continues %s", self._claimed.lease.flow)
        except Unavailable as error:
            logger.warning("%s stops for now: %s", self._claimed.lease.flow, error)

    async def _conclude(self) -> None:
        """Run the flow until it waits or ends, and record how it ended."""
        try:
            outcome = await self._outcome()
        except Interrupted:
            await self._store.write(self._look_again)
        except Held:
            await self._store.write(self._let_go)
        except Suspended:
            pass
        else:
            await self._finish(outcome)

    async def _outcome(self) -> Outcome:
        """Run the flow to its end, and return how it ended.

        Raises:
            RunStops, Unavailable: it has not ended.
        """
        try:
            return Outcome(OutcomeState.SUCCEEDED, await self._run())
        except Unknown as error:
            return Outcome(OutcomeState.UNKNOWN, None, self._in_words(error))
        except (RunStops, Unavailable):
            raise
        except Exception as raised:
            error = _alone(raised)
            if not isinstance(error, HitlError | NotApproved):
                # A traceback repeats what the error says: the values that pydantic refused, or a secret of the payload.
                trace = None if isinstance(error, ValidationError) or self._journal.secrecy else error
                told_of_it = told(error, self._journal.secrecy.hide)
                logger.warning("the flow of %s failed: %s", self._claimed.approval.id, told_of_it, exc_info=trace)
            return Outcome(OutcomeState.FAILED, None, self._in_words(error))

    def _in_words(self, error: Exception) -> str:
        """Return an error as the approval shows it, to everybody: no secret of the payload may stand in it."""
        return in_words(error, self._journal.secrecy.hide)

    async def _run(self) -> dict[str, Any] | None:
        async with tasks_end_with_it():
            try:
                with contained(whole=True):
                    result = await self._run_code()
            except Exception:
                await self._journal.finish()
                raise
            await self._journal.finish()
            return result

    async def _run_code(self) -> dict[str, Any] | None:
        approval = self._claimed.approval
        first = approval.edits[0].before if approval.edits else approval.payload
        step = Step(self._journal, self._waits, self._pauses)
        self._journal.begin()
        return _as_object(await self._make(self._flow).run(taken(self._flow.run, first), step))

    def _look_again(self, tx: Transaction) -> None:
        """Release a flow whose write was interrupted; it continues from its journal after a while."""
        tx.flows.release(self._claimed.lease, begin(tx, self._clock()) + _LOOK_AGAIN)

    def _let_go(self, tx: Transaction) -> None:
        """Release a flow because of the emergency stop; if another kind is paused, try again after a while."""
        now = begin(tx, self._clock())
        self._journal.write_held_back(tx, now)
        lease = self._claimed.lease
        tx.flows.release(lease, now if is_stopped(tx, lease.kind) else now + _LOOK_AGAIN)

    async def _finish(self, outcome: Outcome) -> None:
        def work(tx: Transaction) -> None:
            now = begin(tx, self._clock())
            self._journal.write_held_back(tx, now)
            self._journal.leave(tx, ENDED_AS[outcome.state])
            # A resolved approval stays as it is, so that it need not be read again.
            resolved = self._claimed.approval.status is not Status.PENDING
            approval = self._claimed.approval if resolved else tx.approvals.lock(self._claimed.approval.id)
            if approval is None:
                return
            if approval.status is Status.PENDING:
                end(tx, approval, Status.CANCELLED, now, reason=outcome.error)
            for other in self._journal.waited_for:
                self._take_back(tx, other, now)
            acted = approval.status in {Status.APPROVED, Status.PENDING} or outcome.state is not OutcomeState.FAILED
            if acted:
                tx.approvals.set_outcome(approval.id, outcome)
                record(tx, approval, result_of(outcome), now)

        try:
            await self._store.write(work)
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            if outcome.state is OutcomeState.UNKNOWN:
                raise
            # What it came to cannot be recorded; that it ran can, and a person finds out the rest.
            self._journal.drop_held_back()
            words = told(error, self._journal.secrecy.hide)
            text = f"it ended as {outcome.state.value}, but that could not be recorded: {words}"
            await self._finish(Outcome(OutcomeState.UNKNOWN, None, text))

    def _take_back(self, tx: Transaction, approval_id: str, now: datetime) -> None:
        """Cancel what a branch still waits for when the flow has ended."""
        asked = tx.approvals.lock(approval_id) if approval_id != self._claimed.approval.id else None
        if asked is not None and asked.status is Status.PENDING:
            end(tx, asked, Status.CANCELLED, now, reason="The flow that asked for it has ended.")


def _new_id(now: datetime) -> str:
    return approval_id(now, secrets.randbits(RANDOM_BITS))


def _alone(error: Exception) -> Exception:
    """Return the error in a group of one, as a task group raises it."""
    inner = cast("ExceptionGroup[Exception]", error).exceptions if isinstance(error, ExceptionGroup) else ()
    return _alone(inner[0]) if len(inner) == 1 else cast("Exception", error)


def _as_object(result: object) -> dict[str, Any] | None:
    plain: Any = to_jsonable_python(result, by_alias=True)
    canonical(plain, what="the flow's result")
    if plain is None or isinstance(plain, dict):
        return cast("dict[str, Any] | None", plain)
    return {"value": plain}


def in_words(error: BaseException, hide: Callable[[str], str] = str) -> str:
    """Return an error as the approval shows it; `hide` takes secrets out of it."""
    ours = isinstance(error, HitlError | NotApproved | Unknown)
    return one_line(hide(str(error)) if ours else told(error, hide), MOST_ERROR)
