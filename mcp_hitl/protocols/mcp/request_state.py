"""The sealed state of a question on 2026-07-28, which also distinguishes a form from a page.

The two have nothing in common, so the state of a page cannot be read as the answer to a form.
"""

import json
from dataclasses import asdict, dataclass

from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.values import strict_json
from mcp_hitl.domain.values.errors import Invalid


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


def dump_form(shown: Shown) -> str:
    """Return the state of a form that showed this, as text; the SDK seals it."""
    return json.dumps(shown.as_json())


def load(text: str) -> Shown | PageState:
    """Return what `dump` or `dump_form` wrote. The seal was checked, so nobody else can have written it.

    Raises:
        Invalid: another version wrote it.
    """
    try:
        match strict_json.parse(text, what="the state"):
            case {"approval": str(approval), "revision": int(revision), "decisions": int(decisions), **rest} if (
                not rest
            ):
                return PageState(approval, revision, decisions)
            case held:
                return Shown.from_json(held)
    except (Invalid, TypeError, ValueError, ArithmeticError):
        raise Invalid("Another version of this server has asked this. Ask the person again.") from None
