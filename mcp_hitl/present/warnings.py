"""What a person is told before they read something that could pass for something else (THREATS T25)."""

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.values.alphabets import mixes

MIXED = (
    "Careful: a word or number here mixes letters or digits of different alphabets, so that it could pass for another. "
    "Those that do not belong are written as \\u and four digits."
)


def warning_of(approval: Approval) -> str | None:
    """Return what to tell whoever reads an approval, or None."""
    edits = [[edit.before, edit.after, edit.comment] for edit in approval.edits]
    return warning(approval.title, approval.claim, approval.payload, approval.form, edits)


def warning(*shown: object) -> str | None:
    """Return what to tell whoever reads these texts or JSON values, or None."""
    return MIXED if mixes(list(shown)) else None
