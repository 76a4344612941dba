"""What ends a run of a flow, or one of its steps; and the place of a step, which these are about."""

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.flow import JournalEntry, StepState
from mcp_hitl.domain.values.text import one_line
from mcp_hitl.present.approval_views import verdict_line

PAUSES = ("wait", "sleep")
"""The steps in which a flow only waits."""
MOST_WHY = 500
"""The most characters of a step's error."""


class NotApproved(Exception):
    """Raise it to end a flow because a person did not approve. The approval says how and why."""

    def __init__(self, approval: Approval) -> None:
        """End the flow because of this approval."""
        super().__init__(verdict_line(approval, approval.expires_at))
        self.approval = approval


class Failed(Exception):
    """Raise it in a step if the action certainly did not happen. The outcome is known; the step is not tried again.

    It is stored in the journal. A flow that catches it can continue another way; each later run raises it again with
    the same message. A flow that does not catch it fails.
    """


class RunStops(Exception):
    """This run stops here, even if the flow's code catches it."""


class Unknown(RunStops):
    """We don't know whether a step acted. The flow stops until a person reconciles it."""


class FlowChanged(Unknown):
    """The code differs from what its journal recorded. Continuing would be a guess."""


class Suspended(RunStops):
    """The flow waits. It uses no thread and no memory until it continues."""


class Held(Suspended):
    """The emergency stop is on. The flow is released and continues after the stop."""


class Interrupted(Suspended):
    """The run was cancelled from inside during a write. The journal has what was written; the next run continues."""


class LeaseLost(RunStops):
    """Another process runs the flow now. This process has written nothing and must stop."""


class Place:
    """The place of a step: its branch and position, its operation, its name, and its journal entry if there is one.

    `turn` is the number of its end, once the flow's code gets it.
    """

    def __init__(self, branch: str, position: int, step: str, name: str, entry: JournalEntry | None) -> None:
        """Make a place in a journal."""
        self.branch, self.position, self.step, self.name, self.entry = branch, position, step, name, entry
        self.turn = None if entry is None else entry.turn
        self.noted = entry
        """Its entry that the journal has, once this run has written it, too, if its turn comes later."""

    @property
    def given_up(self) -> bool:
        """True if it is a wait or a sleep that the flow's code cancelled in an earlier run: it never ends."""
        return self.entry is not None and self.step in PAUSES and self.entry.state is StepState.FAILED

    def claimed(self) -> JournalEntry:
        """Return the journal entry for a step that is about to act."""
        return self._made(StepState.CLAIMED, None)

    def done(self, output: str | None) -> JournalEntry:
        """Return the journal entry for a step that acted, with this result."""
        return self._made(StepState.DONE, output)

    def failed(self, why: str) -> JournalEntry:
        """Return the journal entry for a step that certainly did not act, for this reason."""
        return self._made(StepState.FAILED, one_line(why, MOST_WHY))

    def _made(self, state: StepState, output: str | None) -> JournalEntry:
        return JournalEntry(self.position, self.step, self.name, state, output, self.branch, self.turn)
