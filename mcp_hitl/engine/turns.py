"""The order in which the flow's code learns that steps have ended, the same in every run.

What runs side by side may decide something by who comes first. So the journal numbers the ends of steps in the order
in which the code got them, one at a time: the next one only after the code has come to rest. A later run hands over
the numbered ends in that order, lets nothing new act before, and then goes on with what has ended meanwhile.
"""

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import anyio

from mcp_hitl.domain.approvals.flow import JournalEntry
from mcp_hitl.engine.activity import Activity
from mcp_hitl.engine.branches import Branches
from mcp_hitl.engine.run_ends import PAUSES, FlowChanged, Place

GRACE_SECONDS = 1.0
"""How long a run waits for a branch that the journal has next, while all others wait for it."""
LIMIT_SECONDS = 60.0
"""As above, if the code has still to cancel what it cancelled before: perhaps by a time limit."""


@dataclass(eq=False, slots=True)
class _Ticket:
    """A step that waits until it is called."""

    place: Place
    at: datetime | None
    """When it ended, if that is new in this run."""
    called: anyio.Event = field(default_factory=anyio.Event)


class Turns:
    """Calls the steps of one run to hand over their ends, one after the other."""

    def __init__(self, entries: Iterable[JournalEntry], activity: Activity, branches: Branches) -> None:
        """Continue the journal of these entries."""
        self._activity, self._branches = activity, branches
        self._recorded = deque(sorted(entry.turn for entry in entries if entry.turn is not None))
        """The turns of earlier runs that are still to come in this one."""
        self._next = self._recorded[-1] + 1 if self._recorded else 0
        self._caught_up = not self._recorded
        """True if the code has got all that earlier runs gave it, and has come to rest."""
        self._tickets: list[_Ticket] = []
        self._driven = False
        """True once a step had to wait until it is called."""
        self._called: Place | None = None
        self._finding: set[Place] = set()
        """The waits that have perhaps ended, but do not know yet when."""
        self._given_up = 0
        """The number of steps that wait until the code cancels them again."""

    @property
    def alone(self) -> bool:
        """True if nothing has run side by side yet, so that there is no order to keep."""
        return self._branches.none

    async def begin(self, place: Place) -> None:
        """Wait until this step may begin: if its end has a turn, at its turn; else after all turns of earlier runs."""
        if place.turn is None:
            is_pause = place.entry is not None and place.step in PAUSES
            self._caught_up = self._caught_up or (not self._recorded and self.alone)
            if not self._caught_up and not is_pause:
                await self._wait(_Ticket(place, None))
        elif not (self.alone and self._recorded and self._recorded[0] == place.turn):
            await self._wait(_Ticket(place, None))
        self._activity.go_on()

    @contextmanager
    def cancelled_again(self) -> Generator[None]:
        """Wrap a step that waits until the flow's code cancels it, as it did before."""
        self._given_up += 1
        try:
            yield
        finally:
            self._given_up -= 1

    def finding(self, place: Place) -> None:
        """Hand over nothing new until it is known when this step has ended, or that it has not."""
        self._finding.add(place)
        self._activity.note()

    def not_yet(self, place: Place) -> None:
        """Say that this step has not ended."""
        self._finding.discard(place)
        self._activity.note()

    async def end(self, place: Place, at: datetime) -> None:
        """Wait until the flow's code may get the end of this step, and give it its turn.

        If the flow has stopped, it gets none: the next run hands it over.
        """
        if place.turn is None:
            if not self.alone:
                await self._wait(_Ticket(place, at))
            if not self._activity.stopped:
                self.number(place)

    def number(self, place: Place) -> None:
        """Give the end of this step the next turn."""
        place.turn, self._next = self._next, self._next + 1

    def left(self, place: Place) -> None:
        """Say that the flow's code has got the end of this step, or has cancelled it."""
        self._finding.discard(place)
        if place.turn in self._recorded:
            self._recorded.remove(place.turn)
        if self._called is place:
            self._called = None
        self._activity.note()

    async def _drive(self) -> None:
        """Call the steps, until the flow stops."""
        while not self._activity.stopped:
            if self._called is None and self._tickets:
                await self._activity.rest()
                if self._call():
                    continue
                if self._recorded and not self._finding:
                    await self.look_out()
                    continue
            await self._activity.change()
        for ticket in self._tickets:
            ticket.called.set()

    async def _wait(self, ticket: _Ticket) -> None:
        if self._activity.stopped:
            return
        if not self._driven:
            self._driven = True
            self._activity.start(self._drive)
        self._tickets.append(ticket)
        self._finding.discard(ticket.place)
        self._activity.note()
        try:
            await ticket.called.wait()
        finally:
            self._tickets.remove(ticket)

    def _call(self) -> bool:
        """Call whoever is next. Return False if that one has not come yet."""
        if self._recorded:
            called = [one for one in self._tickets if one.place.turn == self._recorded[0]]
        elif not self._caught_up:
            self._caught_up = True
            called = [one for one in self._tickets if one.at is None]
            for ticket in called:
                ticket.called.set()
            return True
        elif self._finding:
            return False
        else:
            called = sorted(
                (one for one in self._tickets if one.at is not None), key=lambda one: one.at or datetime.min
            )
        for ticket in called[:1]:
            self._called = ticket.place
            ticket.called.set()
        return bool(called)

    async def look_out(self) -> None:
        """Wait for what is next, which no task of this run has come to, but not for ever; then stop the flow."""
        with anyio.move_on_after(LIMIT_SECONDS if self._given_up else GRACE_SECONDS) as limit:
            await self._activity.change()
        if limit.cancelled_caught:
            self._activity.stop(FlowChanged("the flow's code changed: it does not come to a step that ended before"))
