"""Digests of an approval's policy, deadline and wording, so that `audit verify` detects changes made in the file."""

from functools import lru_cache

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.evidence.audit import content_digest
from mcp_hitl.domain.policy.policy import Policy
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.identity_key import Same
from mcp_hitl.domain.values.instants import rfc3339


def rules_of(approval: Approval) -> JsonObject:
    """Return the digest of the policy's copy, and the deadline."""
    return {"policy": _policy_digest(Same(approval.policy)), "expires_at": rfc3339(approval.expires_at)}


@lru_cache(maxsize=256)
def _policy_digest(policy: Same[Policy]) -> str | None:
    return content_digest(policy.it.as_json())


def wording_of(approval: Approval) -> JsonObject:
    """Return the digests of the title, the claim and the form, which are erased together with the contents."""
    return {
        "title": content_digest(approval.title),
        "claim": content_digest(approval.claim),
        "form": content_digest(approval.form),
    }
