"""Approvals, decisions and a policy that tests begin with; each changes what it is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mcp_hitl.domain.approvals.approval import Approval, Decision, Status
from mcp_hitl.domain.policy.policy import Assurance, Policy, Verdict
from mcp_hitl.domain.values.canonical import canonical, digest_of

START = datetime(2026, 11, 22, 12, 35, 13, 120_000, tzinfo=UTC)
INBOX = "in the terminal"
ID = "apr_01jd9xkm8g0123456789abcdef"
SAFE = """
profile = "team"
retention = "90 days"
[people]
finance = ["os:ana", "os:bo"]
[kinds.payment]
schema = { properties = { to = { type = "string" } }, required = ["to"], additionalProperties = false }
stages = [{ approvers = ["group:finance"] }]
valid_for = "1 day"
"""
"""A policy file in which `doctor` finds nothing."""


def an_approval(**changes: Any) -> Approval:
    """A pending expense of an hour ago that expires in a week."""
    payload = changes.get("payload", {"amount": 50, "currency": "USD", "description": "Lunch"})
    approval = Approval(
        id=ID,
        kind="expense",
        title="Expense: 50 USD for Lunch",
        claim=None,
        status=Status.PENDING,
        payload=payload,
        digest=digest_of(canonical(payload, what="payload")),
        revision=1,
        requester="os:agent",
        requested_at=START - timedelta(hours=1),
        expires_at=START + timedelta(days=7),
        policy=Policy(),
        form=None,
        dedup_key=None,
        stage_since=START - timedelta(hours=1),
        timed_to=START - timedelta(hours=1),
    )
    changed = replace(approval, **changes)
    return changed if "asked_digest" in changes else replace(changed, asked_digest=changed.digest)


def a_decision(approver: str = "os:ana", verdict: Verdict = Verdict.APPROVE, **changes: Any) -> Decision:
    """A local decision on revision 1, stage 1, made at `START`."""
    decision = Decision(
        approval=ID,
        revision=1,
        stage=1,
        approver=approver,
        established="os-user",
        verdict=verdict,
        comment=None,
        assurance=Assurance.LOCAL,
        at=START,
    )
    return replace(decision, **changes)
