"""The sealed state of a question on 2026-07-28, which also distinguishes a form from a page.

The two have nothing in common, so the state of a page cannot be read as the answer to a form.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.resolution import stage_of
from mcp_hitl.domain.values.instants import from_ms, to_ms


@dataclass(frozen=True, slots=True)
class FormState:
    """The state of a form: the approval, exactly as it was shown, and the form's own nonce."""

    approval: str
    revision: int
    digest: str
    nonce: str
    shown_at: int
    """Milliseconds by the desk's clock; from this we record how long the person looked (THREATS T18)."""
    stage: int | None = None
    """None in a state of an earlier version, which had no stage."""

    @staticmethod
    def of(approval: Approval, nonce: str, shown_at: datetime) -> "FormState":
        """Return the state of a form that shows `approval` as it is at this instant."""
        return FormState(approval.id, approval.revision, approval.digest, nonce, to_ms(shown_at), stage_of(approval))

    def looked(self, now: datetime) -> timedelta:
        """Return how long the form has been open."""
        return max(timedelta(0), now - from_ms(self.shown_at))

    def dump(self) -> str:
        """Return the state as text; the SDK seals it."""
        return json.dumps([self.approval, self.revision, self.digest, self.nonce, self.shown_at, self.stage])


@dataclass(frozen=True, slots=True)
class PageState:
    """The state of a page: the approval and its progress, so that we can see whether it went on."""

    approval: str
    revision: int
    decisions: int

    @staticmethod
    def of(approval: Approval) -> "PageState":
        """Return the state for a person who is sent to this approval's page now."""
        return PageState(approval.id, approval.revision, len(approval.decisions))

    def answered(self, approval: Approval) -> bool:
        """Return True if its page was answered: since then, the approval was resolved, decided on or edited."""
        same = (approval.revision, len(approval.decisions)) == (self.revision, self.decisions)
        return approval.status is not Status.PENDING or not same

    def dump(self) -> str:
        """Return the state as text; the SDK seals it."""
        return json.dumps(asdict(self))


def load(text: str) -> FormState | PageState:
    """Return the state that `dump` wrote. The seal was checked, so nobody else can have written it."""
    held: dict[str, Any] | list[Any] = json.loads(text)
    return PageState(**held) if isinstance(held, dict) else FormState(*held)
