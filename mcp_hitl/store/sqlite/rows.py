"""Rows to values and back."""

import json
from typing import Any

from mcp_hitl.domain.approval import Approval, Decision, Outcome, OutcomeState, Status
from mcp_hitl.domain.audit import Entry, Event, Recorded
from mcp_hitl.domain.canonical import JsonObject, canonical, read_back
from mcp_hitl.domain.instants import from_ms, to_ms
from mcp_hitl.domain.policy import Assurance, Policy, Stage, Verdict

APPROVAL = (
    "id, kind, title, claim, status, payload, digest, revision, requester, requested_at, expires_at, resolved_at, "
    "policy, form, dedup_key, cooldown_until, asked, answer, reason, outcome"
)
DECISION = "approval, revision, stage, approver, established, verdict, comment, assurance, nonce, at"
ENTRY = "seq, approval, event, revision, actor, established, assurance, at, data"


def approval_row(approval: Approval) -> tuple[Any, ...]:
    """The values of `APPROVAL`'s columns."""
    return (
        approval.id,
        approval.kind,
        approval.title,
        approval.claim,
        approval.status.value,
        canonical(approval.payload, what="payload").decode(),
        approval.digest,
        approval.revision,
        approval.requester,
        to_ms(approval.requested_at),
        to_ms(approval.expires_at),
        approval.resolved_at and to_ms(approval.resolved_at),
        _policy_text(approval.policy),
        json_or_null(approval.form),
        approval.dedup_key,
        approval.cooldown_until and to_ms(approval.cooldown_until),
        approval.asked,
        json_or_null(approval.answer),
        approval.reason,
        outcome_text(approval.outcome),
    )


def approval_of(row: Any, decisions: tuple[Decision, ...]) -> Approval:
    """The approval in a row of `APPROVAL`'s columns."""
    outcome = read_back(row[19])
    return Approval(
        id=row[0],
        kind=row[1],
        title=row[2],
        claim=row[3],
        status=Status(row[4]),
        payload=read_back(row[5]),
        digest=row[6],
        revision=row[7],
        requester=row[8],
        requested_at=from_ms(row[9]),
        expires_at=from_ms(row[10]),
        resolved_at=None if row[11] is None else from_ms(row[11]),
        policy=_policy_of(row[12]),
        form=None if row[13] is None else read_back(row[13]),
        dedup_key=row[14],
        cooldown_until=None if row[15] is None else from_ms(row[15]),
        asked=row[16],
        answer=None if row[17] is None else read_back(row[17]),
        reason=row[18],
        outcome=Outcome(OutcomeState(outcome["state"]), outcome["result"], outcome["error"]),
        decisions=decisions,
    )


def decision_row(decision: Decision) -> tuple[Any, ...]:
    """The values of `DECISION`'s columns."""
    return (
        decision.approval,
        decision.revision,
        decision.stage,
        decision.approver,
        decision.established,
        decision.verdict.value,
        decision.comment,
        decision.assurance.value,
        decision.nonce,
        to_ms(decision.at),
    )


def decision_of(row: Any) -> Decision:
    """The decision in a row of `DECISION`'s columns."""
    return Decision(
        approval=row[0],
        revision=row[1],
        stage=row[2],
        approver=row[3],
        established=row[4],
        verdict=Verdict(row[5]),
        comment=row[6],
        assurance=Assurance(row[7]),
        nonce=row[8],
        at=from_ms(row[9]),
    )


def entry_row(entry: Entry) -> tuple[Any, ...]:
    """The values of `ENTRY`'s columns but the first."""
    return (
        entry.approval,
        entry.event.value,
        entry.revision,
        entry.actor,
        entry.established,
        entry.assurance and entry.assurance.value,
        to_ms(entry.at),
        canonical(entry.data, what="data").decode(),
    )


def recorded_of(row: Any) -> Recorded:
    """The entry in a row of `ENTRY`'s columns."""
    return Recorded(
        row[0],
        Entry(
            approval=row[1],
            event=Event(row[2]),
            revision=row[3],
            actor=row[4],
            established=row[5],
            assurance=None if row[6] is None else Assurance(row[6]),
            at=from_ms(row[7]),
            data=read_back(row[8]),
        ),
    )


def outcome_text(outcome: Outcome) -> str:
    """An outcome as it is stored."""
    return json.dumps({"state": outcome.state.value, "result": outcome.result, "error": outcome.error})


def json_or_null(value: JsonObject | None) -> str | None:
    """An optional object as it is stored; field order is kept, since forms are read from top to bottom."""
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _policy_text(policy: Policy) -> str:
    return json.dumps(
        {
            "stages": [{"approvers": list(stage.approvers), "quorum": stage.quorum} for stage in policy.stages],
            "rejections": policy.rejections,
            "assurance": policy.assurance.value,
            "unattended": policy.unattended,
        }
    )


def _policy_of(text: str) -> Policy:
    held = read_back(text)
    return Policy(
        stages=tuple(Stage(tuple(stage["approvers"]), stage["quorum"]) for stage in held["stages"]),
        rejections=held["rejections"],
        assurance=Assurance(held["assurance"]),
        unattended=held["unattended"],
    )
