"""What governs an approval beside its payload, as digests for the log: whoever changes it in the file is found out."""

from functools import lru_cache

from mcp_hitl.domain.approval import Approval
from mcp_hitl.domain.audit import content_digest
from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.instants import rfc3339
from mcp_hitl.domain.policy import Policy


def rules_of(approval: Approval) -> JsonObject:
    """The policy's copy and the deadline."""
    return {"policy": _policy_digest(_Same(approval.policy)), "expires_at": rfc3339(approval.expires_at)}


class _Same:
    """A policy as a cache key: most approvals of a kind share one object, which nobody changes."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __hash__(self) -> int:
        return id(self.policy)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.policy is self.policy


@lru_cache(maxsize=256)
def _policy_digest(same: _Same) -> str | None:
    return content_digest(same.policy.as_json())


def wording_of(approval: Approval) -> JsonObject:
    """What the approver reads and fills in beside the payload; erased together with the contents."""
    return {
        "title": content_digest(approval.title),
        "claim": content_digest(approval.claim),
        "form": content_digest(approval.form),
    }
