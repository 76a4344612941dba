"""What governs an approval beside its payload, as digests for the log: whoever changes it in the file is found out."""

from mcp_hitl.domain.approval import Approval
from mcp_hitl.domain.audit import content_digest
from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.instants import rfc3339


def rules_of(approval: Approval) -> JsonObject:
    """The policy's copy and the deadline."""
    return {"policy": content_digest(approval.policy.as_json()), "expires_at": rfc3339(approval.expires_at)}


def wording_of(approval: Approval) -> JsonObject:
    """What the approver reads and fills in beside the payload; erased together with the contents."""
    return {
        "title": content_digest(approval.title),
        "claim": content_digest(approval.claim),
        "form": content_digest(approval.form),
    }
