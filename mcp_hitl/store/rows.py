"""Converts values to the values of columns and back. Every database has these columns, and JSON as text."""

import json
from datetime import timedelta
from functools import lru_cache
from typing import Any, cast

from mcp_hitl.domain.approvals.approval import Approval, Decision, Edit, Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.approvals.schedule import next_due
from mcp_hitl.domain.evidence.chain import Entry, Recorded, content_digest
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance, Escalation, Policy, Stage, Verdict
from mcp_hitl.domain.values.canonical import JsonObject, read_back
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.domain.values.same_object import Same
from mcp_hitl.store.unreadable import reading

_compact = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode

APPROVAL = (
    "id, kind, title, claim, status, payload, digest, revision, requester, requested_at, expires_at, resolved_at, "
    "policy, form, dedup_key, cooldown_until, asked, answer, reason, outcome, stage_since, timed_to, next_at, "
    "escalated, flow, rule, erased_at, asked_digest, requested_as, definition, code"
)
DECISION = "approval, revision, stage, approver, established, verdict, comment, assurance, nonce, looked, at"
ENTRY = "seq, approval, event, revision, actor, established, assurance, at, data, previous, hash"


def approval_row(approval: Approval) -> tuple[Any, ...]:
    """Return the values for the columns of `APPROVAL`."""
    return (
        approval.id,
        approval.kind,
        approval.title,
        approval.claim,
        approval.status.value,
        payload_text(approval.payload),
        approval.digest,
        approval.revision,
        approval.requester,
        to_ms(approval.requested_at),
        to_ms(approval.expires_at),
        approval.resolved_at and to_ms(approval.resolved_at),
        policy_text(Same(approval.policy)),
        json_or_null(approval.form),
        approval.dedup_key,
        approval.cooldown_until and to_ms(approval.cooldown_until),
        approval.asked,
        json_or_null(approval.answer),
        approval.reason,
        outcome_text(approval.outcome),
        *timing_row(approval),
        approval.flow,
        approval.rule,
        approval.erased_at and to_ms(approval.erased_at),
        approval.asked_digest or approval.digest,
        approval.requested_as,
        approval.definition,
        approval.code,
    )


def timing_row(approval: Approval) -> tuple[Any, ...]:
    """Return the values for `stage_since, timed_to, next_at, escalated`."""
    return (
        to_ms(approval.stage_since),
        to_ms(approval.timed_to),
        to_ms(next_due(approval)) if approval.status is Status.PENDING else None,
        json.dumps(approval.escalated),
    )


@reading
def approval_of(
    row: Any, decisions: tuple[Decision, ...], edits: tuple[Edit, ...], progress: tuple[Progress, ...]
) -> Approval:
    """Return the approval in a row with the columns of `APPROVAL`."""
    for text in row:
        if isinstance(text, str):
            text.encode()  # bytes that are no text have come as lone surrogates
    return Approval(
        id=row[0],
        kind=row[1],
        title=row[2],
        claim=row[3],
        status=Status(row[4]),
        payload=_object(read_back(row[5])),
        digest=row[6],
        revision=row[7],
        requester=row[8],
        requested_at=from_ms(row[9]),
        expires_at=from_ms(row[10]),
        resolved_at=None if row[11] is None else from_ms(row[11]),
        policy=_policy_of(row[12]),
        form=None if row[13] is None else _object(read_back(row[13])),
        dedup_key=row[14],
        cooldown_until=None if row[15] is None else from_ms(row[15]),
        asked=row[16],
        answer=None if row[17] is None else _object(read_back(row[17])),
        reason=row[18],
        outcome=_outcome_of(row[19]),
        decisions=decisions,
        edits=edits,
        progress=progress,
        stage_since=from_ms(row[20]),
        timed_to=from_ms(row[21]),
        escalated=() if row[23] == "[]" else _texts(read_back(row[23])),
        flow=row[24],
        rule=row[25],
        erased_at=None if row[26] is None else from_ms(row[26]),
        asked_digest=row[27],
        requested_as=row[28],
        definition=row[29],
        code=row[30],
    )


def decision_row(decision: Decision) -> tuple[Any, ...]:
    """Return the values for the columns of `DECISION`."""
    return (
        decision.approval,
        decision.revision,
        decision.stage,
        decision.approver,
        decision.established,
        decision.verdict.value,
        content_digest(decision.comment),
        decision.assurance.value,
        decision.nonce,
        None if decision.looked is None else decision.looked // timedelta(milliseconds=1),
        to_ms(decision.at),
    )


@reading
def decision_of(row: Any, content: str | None) -> Decision:
    """Return the decision in a row with the columns of `DECISION`; `content` is the comment behind its digest."""
    return Decision(
        approval=row[0],
        revision=row[1],
        stage=row[2],
        approver=row[3],
        established=row[4],
        verdict=Verdict(row[5]),
        comment=None if content is None else read_back(content),
        assurance=Assurance(row[7]),
        nonce=row[8],
        looked=None if row[9] is None else timedelta(milliseconds=row[9]),
        at=from_ms(row[10]),
    )


def entry_row(entry: Entry) -> tuple[Any, ...]:
    """Return the values for `ENTRY`'s columns between `seq` and `data`."""
    return (
        entry.approval,
        entry.event.value,
        entry.revision,
        entry.actor,
        entry.established,
        entry.assurance and entry.assurance.value,
        to_ms(entry.at),
    )


@reading
def recorded_of(row: Any) -> Recorded:
    """Return the entry in a row with the columns of `ENTRY`."""
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
        row[9],
        row[10],
    )


def outcome_text(outcome: Outcome) -> str:
    """Return an outcome in the form in which it is stored."""
    return json.dumps({"state": outcome.state.value, "result": outcome.result, "error": outcome.error})


def without_result(text: str) -> str:
    """Return a stored outcome without what it says, as it is after erasing."""
    return outcome_text(Outcome(_outcome_of(text).state, None, None))


def json_or_null(value: JsonObject | None) -> str | None:
    """Return an optional object as it is stored, with its fields in order, since forms are read from top to bottom."""
    return None if value is None else json.dumps(value, ensure_ascii=False)


def payload_text(payload: JsonObject) -> str:
    """Return a payload as it is stored: its fields stay in the order in which people read them."""
    return _compact(payload)


def size_of(payload: JsonObject) -> int:
    """Return the bytes of a payload, for the column `size`."""
    return len(payload_text(payload).encode())


@lru_cache(maxsize=256)
def policy_text(policy: Same[Policy]) -> str:
    """Return a policy in the form of the stored copy; most approvals of a kind share one."""
    return json.dumps(policy.it.as_json())


def _outcome_of(text: str) -> Outcome:
    known = _BARE.get(text)
    if known is not None:
        return known
    held = read_back(text)
    if not isinstance(held["error"], str | None):
        raise TypeError("an error is a text")
    return Outcome(OutcomeState(held["state"]), _object(held["result"]), held["error"])


_BARE = {outcome_text(outcome): outcome for outcome in map(Outcome, OutcomeState)}
"""Outcomes without a result and an error, which most approvals have while they are open."""


def _object(value: object) -> Any:
    """Return an object, or null where it was erased; a list of something would take the page away that shows it."""
    if value is None or type(value) is dict:
        return cast("JsonObject | None", value)
    raise TypeError("something else stands in place of an object")


def _texts(values: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise TypeError("a list of texts has something else in it")
    return tuple(values)


@lru_cache(maxsize=256)
def _policy_of(text: str) -> Policy:
    held = read_back(text)
    if not held["stages"]:
        raise ValueError("a policy has at least one stage")
    return Policy(
        stages=tuple(
            Stage(
                _texts(stage["approvers"]),
                stage["quorum"],
                tuple(Escalation(timedelta(seconds=after), _texts(to)) for after, to in stage["escalate"]),
            )
            for stage in held["stages"]
        ),
        rejections=held["rejections"],
        assurance=Assurance(held["assurance"]),
        unattended=held["unattended"],
        four_eyes=held["four_eyes"],
        editor_may_approve=held["editor_may_approve"],
        one_stage_each=held["one_stage_each"],
        valid_for=None if held["valid_for"] is None else timedelta(seconds=held["valid_for"]),
        remind_after=tuple(timedelta(seconds=after) for after in held["remind_after"]),
        members={name: frozenset(_texts(members)) for name, members in held["members"].items()},
    )
