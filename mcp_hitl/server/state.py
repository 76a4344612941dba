"""What a question on 2026-07-28 carries along as its sealed state, and how that tells a form from a page.

The two share nothing: what came back from a page cannot be read as an answer to a form.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from mcp_hitl.domain.approval import Approval, Status
from mcp_hitl.domain.instants import from_ms, to_ms
from mcp_hitl.domain.resolution import stage_of


@dataclass(frozen=True, slots=True)
class FormState:
    """What a form carries along: which approval, exactly as shown, and a mark of its own."""

    approval: str
    revision: int
    digest: str
    nonce: str
    shown_at: int
    """In milliseconds, by the desk's clock: how long the person looks is recorded (THREATS T18)."""
    stage: int | None = None
    """None in a state of an earlier version, which did not carry it."""

    @staticmethod
    def of(approval: Approval, nonce: str, shown_at: datetime) -> "FormState":
        """The state of a form that shows `approval` as it is at this instant."""
        return FormState(approval.id, approval.revision, approval.digest, nonce, to_ms(shown_at), stage_of(approval))

    def looked(self, now: datetime) -> timedelta:
        """How long the form has been there."""
        return max(timedelta(0), now - from_ms(self.shown_at))

    def dump(self) -> str:
        """As request state; the SDK seals it."""
        return json.dumps([self.approval, self.revision, self.digest, self.nonce, self.shown_at, self.stage])


@dataclass(frozen=True, slots=True)
class PageState:
    """What sending a person to a page carries along: which approval, and how far it was, to see that it went on."""

    approval: str
    revision: int
    decisions: int

    @staticmethod
    def of(approval: Approval) -> "PageState":
        """The state of an approval whose page somebody is sent to now."""
        return PageState(approval.id, approval.revision, len(approval.decisions))

    def answered(self, approval: Approval) -> bool:
        """Whether the approval, read since, was resolved, decided on or edited: whether its page was answered."""
        same = (approval.revision, len(approval.decisions)) == (self.revision, self.decisions)
        return approval.status is not Status.PENDING or not same

    def dump(self) -> str:
        """As request state; the SDK seals it."""
        return json.dumps(asdict(self))


def load(text: str) -> FormState | PageState:
    """Read back what `dump` wrote: the seal has been checked, so nobody else can have written it."""
    held: dict[str, Any] | list[Any] = json.loads(text)
    return PageState(**held) if isinstance(held, dict) else FormState(*held)
