"""What a person is told before they read something that could pass for something else (THREATS T25, T27)."""

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.policy.kinds import MAX_TITLE
from mcp_hitl.domain.values.alphabets import mixes
from mcp_hitl.domain.values.text import one_line, visible

MIXED = (
    "Careful: a word or number here mixes letters or digits of different alphabets, so that it could pass for another. "
    "Those that do not belong are written as \\u and four digits."
)


def warning_of(approval: Approval) -> list[str]:
    """Return what to tell whoever reads an approval, often nothing."""
    edits = [[edit.before, edit.after, edit.comment] for edit in approval.edits]
    return warning(approval.title, approval.claim, approval.payload, approval.form, edits)


def warning(*shown: object) -> list[str]:
    """Return what to tell whoever reads these texts or JSON values, often nothing."""
    return [MIXED] if mixes(list(shown)) else []


def is_claim_only(approval: Approval) -> bool:
    """Return True if the title is nothing but the agent's own words."""
    # Earlier versions stored titles in which less was marked.
    return bool(approval.claim) and visible(approval.title) == one_line(approval.claim or "", MAX_TITLE)
