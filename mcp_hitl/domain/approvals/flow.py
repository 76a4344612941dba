"""The stored form of a flow: its state, and the journal of its steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from mcp_hitl.domain.approvals.approval import OutcomeState


class FlowState(StrEnum):
    """The state of a flow."""

    RUNNABLE = "runnable"
    """A server may claim it, or has claimed it."""
    WAITING = "waiting"
    """It waits until an approval is resolved."""
    SLEEPING = "sleeping"
    """It waits until a certain time."""
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It stopped, and we cannot know what happened. A person has to reconcile it."""


ENDED_AS: Mapping[OutcomeState, FlowState] = {
    OutcomeState.SUCCEEDED: FlowState.DONE,
    OutcomeState.FAILED: FlowState.FAILED,
    OutcomeState.UNKNOWN: FlowState.UNKNOWN,
}
"""The state of a flow that has ended, by its outcome."""


class StepState(StrEnum):
    """The state of a step in the journal."""

    CLAIMED = "claimed"
    """The step was about to act; we don't know whether it did."""
    DONE = "done"
    FAILED = "failed"
    """The step certainly did not act; its output says why. A wait or a sleep: the flow's code cancelled it."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One step: its position in its branch, its operation (`do`, `write`, …), its name, and its output as JSON."""

    position: int
    step: str
    name: str
    state: StepState
    output: str | None = None
    branch: str = ""
    """What ran side by side has branches of its own; see `engine/branches.py`."""
    turn: int | None = None
    """The number of its end, in the order in which the flow's code got them; None until then, or in old journals."""


LEASE = timedelta(seconds=30)
"""How far a lease reaches. One that reaches further was given while the clock was ahead, and has run out."""


NOBODY = "nobody"
"""The holder of a flow whose process stopped in the middle. No lock has this name."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One process's claim on a runnable flow. The next process to claim it gets a higher epoch."""

    flow: str
    kind: str
    approval: str
    epoch: int
