"""Where a branch of a flow waits: until an approval is resolved, or until a time. The run ends when all of them do."""

from collections.abc import Callable
from datetime import datetime, timedelta

import anyio

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.values.durations import duration
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.engine.journal import Journal
from mcp_hitl.engine.run_ends import Place, Suspended
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

_LOOK_SECONDS = 1.0
"""How often a branch that waits looks for what it waits for, while others go on."""


class _Pause:
    """One branch that waits."""

    def __init__(
        self, place: Place, is_over: Callable[[View, datetime], bool], wake_at: datetime | None = None
    ) -> None:
        self.place, self.is_over, self.wake_at = place, is_over, wake_at
        self.over = False


class Pauses:
    """The branches of one run that wait."""

    def __init__(self, journal: Journal) -> None:
        """Release the flow of `journal` when nothing else goes on."""
        self._journal = journal
        self._paused: list[_Pause] = []
        self._looking = anyio.Lock()

    async def given_up(self, place: Place) -> None:
        """Wait until the flow's code cancels this step, as it did in an earlier run.

        Raises:
            FlowChanged: it does not.
        """
        with self._journal.turns.cancelled_again():
            await self._pause(_Pause(place, lambda view, now: False))

    async def until_resolved(self, place: Place, approval_id: str) -> None:
        """Return when the approval is resolved.

        Raises:
            Suspended: nothing else goes on in this run, so the flow was released.
        """

        def is_over(view: View, now: datetime) -> bool:
            approval = view.approvals.get(approval_id)
            return approval is None or approval.status is not Status.PENDING

        await self._pause(_Pause(place, is_over))

    async def sleep(self, place: Place, length: str | timedelta) -> None:
        """Return at the time in the journal; if there is none, store the time first.

        Raises:
            Suspended: nothing else goes on in this run, so the flow was released.
        """
        if place.given_up:
            await self.given_up(place)
        wake_at = from_ms(int(place.entry.output)) if place.entry is not None and place.entry.output else None
        if wake_at is None:
            span = duration(length) if isinstance(length, str) else length

            def work(tx: Transaction, now: datetime) -> datetime:
                self._journal.put(entry := place.done(str(to_ms(now + span))))
                place.noted = entry
                if self._journal.alone:
                    self._journal.leave(tx, FlowState.SLEEPING, now + span)
                return now + span

            alone = self._journal.alone
            wake_at = await self._journal.transact(work)
            if alone:
                raise Suspended
        until = wake_at
        if place.turn is None and until > self._journal.now():
            await self._pause(_Pause(place, lambda view, now: now >= until, until))
        await self._journal.end(place, until)

    async def _pause(self, pause: _Pause) -> None:
        self._paused.append(pause)
        self._journal.turns.not_yet(pause.place)
        try:
            with self._journal.activity.resting():
                while not pause.over:
                    await self._look(pause)
        finally:
            self._paused.remove(pause)

    async def _look(self, pause: _Pause) -> None:
        with anyio.move_on_after(_LOOK_SECONDS):
            await self._journal.activity.calm(lambda: pause.over)
        async with self._looking:
            self._journal.activity.go_on()
            if pause.over:
                return
            paused, idle = list(self._paused), self._journal.activity.count == 0
            if idle and all(one.place.given_up for one in paused):
                await self._journal.turns.look_out()
                return

            def look(view: View, now: datetime) -> list[_Pause]:
                return [one for one in paused if one.is_over(view, now)]

            def rest(tx: Transaction, now: datetime) -> list[_Pause]:
                over = look(tx, now)
                if not over:
                    wakes = [one.wake_at for one in paused if one.wake_at is not None]
                    # A flow that sleeps is woken by an approval, too.
                    state = FlowState.SLEEPING if wakes else FlowState.WAITING
                    self._journal.leave(tx, state, min(wakes, default=None))
                return over

            over = await (self._journal.transact(rest) if idle else self._journal.look(look))
            for one in over:
                one.over = True
                self._journal.turns.finding(one.place)
            if idle and not over:
                raise Suspended
