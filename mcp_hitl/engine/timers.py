"""Timers: reminders, escalations and expiry, each once, however many processes run them."""

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime

from mcp_hitl.desk.transactions.end import end
from mcp_hitl.desk.transactions.log_entries import begin, instant, record
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.quorum import quorum_of
from mcp_hitl.domain.approvals.schedule import Timed, TimedEvent, due
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.evidence.events import Escalated, Reminded
from mcp_hitl.domain.values.errors import Unavailable, Unreadable
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.engine.rest import Rest
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

logger = logging.getLogger(__name__)

_AT_ONCE = 100


def pass_time(tx: Transaction, approval_id: str, clock: datetime) -> bool:
    """Handle the due events of an approval, in order. Return False if there was none, or another process was first."""
    approval = tx.approvals.lock(approval_id)
    if approval is None or approval.status is not Status.PENDING:
        return False
    now = begin(tx, clock)
    events = due(approval, now)
    for event in events:
        approval = _happen(tx, approval, event, now)
    if approval.status is Status.PENDING and events:
        tx.approvals.set_timing(approval)
    return bool(events)


def _happen(tx: Transaction, approval: Approval, event: TimedEvent, now: datetime) -> Approval:
    match event.what:
        case Timed.EXPIRY:
            end(tx, approval, Status.EXPIRED, now)
            return replace(approval, status=Status.EXPIRED)
        case Timed.REMINDER:
            record(tx, approval, Reminded(due=rfc3339(event.at), number=event.number + 1), now)
            return replace(approval, timed_to=event.at)
        case Timed.ESCALATION:
            stage = approval.policy.stages[quorum_of(approval, approval.decisions_in_force).stage - 1]
            to = stage.escalate[event.number].to
            record(tx, approval, Escalated(due=rfc3339(event.at), to=to), now)
            return replace(approval, timed_to=event.at, escalated=(*approval.escalated, *to))


class Timers:
    """Handles due events in any process that serves; it makes no difference which one."""

    name = "the timers"
    wakes_on: Collection[Event] = ()
    seconds = 1.0
    """A server checks this often whether something is due; it asks the database only if that has changed."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        """Work on `store` by `clock`."""
        self._store = store
        self._clock = clock
        self._rest = Rest(store, clock)
        self._left_out: set[str] = set()
        """Ids of approvals whose timers fail: logged once, then skipped."""

    async def turn(self) -> None:
        """Handle everything that is due now."""
        if not self._rest.lasts:
            self._rest.prepare()
            await self.catch_up()

    async def catch_up(self) -> int:
        """Handle everything that is due now, longest due first. Return the number of approvals that this concerned."""
        done = 0
        while ids := await self._due():
            moved, left_out = 0, len(self._left_out)
            for approval_id in ids:
                moved += await self._pass_time(approval_id)
            done += moved
            if moved == 0 and len(self._left_out) == left_out:
                break
        return done

    async def _due(self) -> list[str]:
        due, later = await self._store.read(self._due_in)
        if not due:
            self._rest.until(later)
        return due

    def _due_in(self, view: View) -> tuple[list[str], datetime | None]:
        due = view.sweeps.due(instant(view, self._clock()), _AT_ONCE + len(self._left_out))
        return due, None if due else view.sweeps.next_due()

    async def _pass_time(self, approval_id: str) -> bool:
        try:
            passed = await self._store.write(lambda tx: pass_time(tx, approval_id, self._clock()))
        except Unavailable:
            raise
        except Exception as error:
            # Whatever is wrong with this one, the others have their time all the same.
            if approval_id not in self._left_out:
                self._left_out.add(approval_id)
                if isinstance(error, Unreadable):
                    logger.error("%s cannot be read, so its timers do not run: %s", approval_id, error.why)
                else:
                    logger.error("the timers of %s do not run", approval_id, exc_info=error)
            return False
        self._left_out.discard(approval_id)
        return passed
