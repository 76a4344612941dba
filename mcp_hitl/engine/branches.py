"""The branches of a flow: what its code runs side by side, each with places of its own in the journal.

A branch is a task of the run. Its name says where it began: `2.0/` is the first branch that began after two steps of
the flow itself, `2.0/1.3/` the fourth that began after one step of that one. So a step has the same place in every
run, whatever the order in which people decide.
"""

import asyncio
from collections.abc import Collection
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

ROOT = ""
"""The branch of the flow's own task."""
ACROSS = "*"
"""The one branch of a journal from before there were branches: its steps are numbered as they began, in any task."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a task is: in its own branch, or, until its first step, where it began in another's."""

    owner: "Branches"
    branch: str
    position: int
    task: Any


_SPOT: ContextVar[_Spot] = ContextVar("_SPOT")
"""A task inherits it from the one that starts it."""


class Branches:
    """Gives every step of one run its place."""

    def __init__(self, known: Collection[tuple[str, int]]) -> None:
        """Continue a journal in which these places, of a branch and a position, are taken."""
        self._known = known
        self._across = any(branch == ACROSS for branch, _ in known)
        self._begun: dict[str, int] = {}
        """The number of branches that have begun at each place."""
        self._reached: dict[str, int] = {}
        """The position of the next step of each branch."""
        self._awaited = {branch for branch, _ in known if branch not in (ROOT, ACROSS)}

    @property
    def none(self) -> bool:
        """True if nothing has run side by side yet."""
        return not self._begun and not self._across

    def begin(self) -> None:
        """Make this task the flow's own. Whatever task it starts begins a branch with its first step."""
        _SPOT.set(_Spot(self, ROOT, 0, asyncio.current_task()))

    def next(self) -> tuple[str, int]:
        """Return the branch and the position of the next step of this task."""
        if self._across:
            position = self._reached.get(ACROSS, 0)
            self._reached[ACROSS] = position + 1
            return ACROSS, position
        spot, task = _SPOT.get(None), asyncio.current_task()
        if spot is None or spot.owner is not self:
            spot = _Spot(self, ROOT, 0, None)
        if spot.task is not task:
            spot = self._branched(spot, task)
        _SPOT.set(replace(spot, position=spot.position + 1))
        self._reached[spot.branch] = spot.position + 1
        return spot.branch, spot.position

    def _branched(self, spot: _Spot, task: Any) -> _Spot:
        place = f"{spot.branch}{spot.position}."
        number = self._begun.get(place, 0)
        self._begun[place] = number + 1
        branch = f"{place}{number}/"
        self._awaited.discard(branch)
        return _Spot(self, branch, 0, task)

    def missing(self, branch: str, position: int) -> bool:
        """Return True if an earlier run had a branch that began before this place, and this run does not have it."""
        return any(parent_of(one) == branch and began_at(one) <= position for one in self._awaited)

    def left_over(self) -> bool:
        """Return True if the journal has steps of the flow's own task that this run has not reached."""
        own = ACROSS if self._across else ROOT
        reached = self._reached.get(own, 0)
        return self.missing(ROOT, reached) or any(
            branch == own and position >= reached for branch, position in self._known
        )

    def went_on(self, branch: str, position: int) -> bool:
        """Return True if an earlier run reached a step after this one, in this branch, its branches or after it."""
        return any(_follows(one, number, branch, position) for one, number in self._known)


def parent_of(branch: str) -> str:
    """Return the branch in which this one began."""
    return branch.removesuffix("/").rpartition("/")[0] + "/" if branch.count("/") > 1 else ROOT


def began_at(branch: str) -> int:
    """Return the position in its parent at which a branch began."""
    return int(branch.removeprefix(parent_of(branch)).partition(".")[0])


def related(one: str, other: str) -> bool:
    """Return True if one branch began in the other, or they are the same."""
    return one.startswith(other) or other.startswith(one)


def _follows(one: str, number: int, branch: str, position: int) -> bool:
    """Return True if the step `number` of branch `one` comes after `position` in `branch`."""
    if one == branch:
        return number > position
    if one.startswith(branch):  # in a branch that began here
        return int(one.removeprefix(branch).partition(".")[0]) > position
    if branch.startswith(one):  # where this branch began, or behind that
        return number >= int(branch.removeprefix(one).partition(".")[0])
    return False
