"""What somebody was shown of an approval, made once: what they do with it is bound to that."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.quorum import stage_of
from mcp_hitl.domain.values.instants import from_ms, to_ms


@dataclass(frozen=True, slots=True)
class Shown:
    """An approval as a page, a form, a terminal or a program showed it: which revision, with which digest and stage.

    A decision counts only for these. `nonce` identifies the form or page, so that an answer that is sent twice is
    recognised (THREATS T38). `at` is when it was shown; None if nobody looked, or nobody knows for how long.
    """

    approval: str
    revision: int
    digest: str
    stage: int | None = None
    """None in a state that an earlier version sealed, which had no stage."""
    nonce: str | None = None
    at: datetime | None = None

    @staticmethod
    def of(approval: Approval, *, nonce: str | None = None, at: datetime | None = None) -> "Shown":
        """Return what `approval` shows as it is now."""
        return Shown(approval.id, approval.revision, approval.digest, stage_of(approval), nonce, at)

    def looked(self, now: datetime) -> timedelta | None:
        """Return how long it has been on screen (THREATS T18); None if the clock was set back meanwhile."""
        return None if self.at is None or now < self.at else now - self.at

    def as_json(self) -> list[Any]:
        """Return it as a list that can be sealed into a page, or into the state of a form."""
        return [self.approval, self.revision, self.digest, self.nonce, self.at and to_ms(self.at), self.stage]

    @staticmethod
    def from_json(held: list[Any]) -> "Shown":
        """Return what `as_json` wrote.

        Raises:
            ValueError: an earlier version wrote it, and it lacks something.
        """
        approval, revision, digest, nonce, at, stage = held
        return Shown(approval, revision, digest, stage, nonce, None if at is None else from_ms(at))
