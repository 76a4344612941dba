"""Digests of an approval's policy, deadline and wording, so that `audit verify` detects changes made in the file."""

from dataclasses import dataclass
from functools import lru_cache

from mcp_hitl.domain.approvals.approval import Approval, Progress
from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.policy.policy import Policy
from mcp_hitl.domain.values.canonical import canonical, digest_of
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.domain.values.same_object import Same


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The digest of the policy's copy, and the deadline."""

    policy: str | None
    expires_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The digests of the title, the claim and the form, which are erased together with the contents."""

    title: str | None
    claim: str | None
    form: str | None


def rules_of(approval: Approval) -> Rules:
    """Return the rules that are stored with an approval."""
    return Rules(policy=_policy_digest(Same(approval.policy)), expires_at=rfc3339(approval.expires_at))


@lru_cache(maxsize=256)
def _policy_digest(policy: Same[Policy]) -> str | None:
    return content_digest(policy.it.as_json())


def wording_of(approval: Approval) -> Wording:
    """Return the wording that is stored with an approval."""
    return Wording(
        title=content_digest(approval.title),
        claim=content_digest(approval.claim),
        form=content_digest(approval.form),
    )


def report_of(progress: Progress) -> str:
    """Return the digest of a progress report."""
    return digest_of(canonical([progress.step, progress.message], what="report"))
