"""Flows as they are stored: where one stands, and what its journal says of each step."""

from dataclasses import dataclass
from enum import StrEnum


class FlowState(StrEnum):
    """Where a flow stands."""

    RUNNABLE = "runnable"
    """A server may claim it, or has."""
    WAITING = "waiting"
    """An approval has to be resolved first."""
    SLEEPING = "sleeping"
    """A time has to come first."""
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It stopped where nobody can tell what happened; a person reconciles it."""


class StepState(StrEnum):
    """What the journal says of a step."""

    CLAIMED = "claimed"
    """It was about to act; whether it did is not known."""
    DONE = "done"
    FAILED = "failed"
    """It did certainly not act; its output says why."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One step: its place, what it does (`do`, `write`, …), its name, and its output as JSON."""

    position: int
    step: str
    name: str
    state: StepState
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """One process's hold on a runnable flow; whoever claims it next has a higher epoch."""

    flow: str
    kind: str
    approval: str
    epoch: int
