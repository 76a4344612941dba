"""The whole shape of what each tool returns; what the server publishes is shorter (`mcp_hitl.server.schemas`)."""

from typing import Any

from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.values.canonical import JsonObject

_TEXT: JsonObject = {"type": "string"}
_TIME: JsonObject = {"type": "string", "format": "date-time"}
_COUNT: JsonObject = {"type": "integer", "minimum": 0}


def _maybe(schema: JsonObject) -> JsonObject:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(**properties: Any) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(properties)}


APPROVAL: JsonObject = _object(
    id=_TEXT,
    kind=_TEXT,
    title=_TEXT,
    status={"type": "string", "enum": [status.value for status in Status]},
    payload=_maybe({"type": "object"}),
    digest={"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
    revision={"type": "integer", "minimum": 1},
    requested_by=_TEXT,
    requested_at=_TIME,
    expires_at=_TIME,
    stage={"type": "integer", "minimum": 1},
    quorum=_object(needed=_COUNT, approved=_COUNT, rejected=_COUNT),
    decisions={
        "type": "array",
        "items": _object(
            approver=_TEXT,
            verdict={"type": "string", "enum": [verdict.value for verdict in Verdict]},
            comment=_maybe(_TEXT),
            assurance={"type": "string", "enum": [assurance.value for assurance in Assurance]},
            at=_TIME,
            looked_seconds=_maybe({"type": "number", "minimum": 0}),
            established=_TEXT,
            hasty={"type": "boolean"},
        ),
    },
    edits={
        "type": "array",
        "items": _object(
            revision={"type": "integer", "minimum": 2},
            editor=_TEXT,
            comment=_maybe(_TEXT),
            changes={"type": "array", "items": {"type": "object"}},
            at=_TIME,
        ),
    },
    answer=_maybe({"type": "object"}),
    progress={"type": "array", "items": _object(step=_TEXT, message=_TEXT, at=_TIME)},
    outcome=_object(
        state={"type": "string", "enum": [state.value for state in OutcomeState]},
        result=_maybe({"type": "object"}),
        error=_maybe(_TEXT),
    ),
    asked={"type": "integer", "minimum": 1},
    url=_maybe(_TEXT),
    next=_TEXT,
)

COUNTED: JsonObject = _object(counter={"type": "number"}, increased_by={"type": "number"})

PAGE: JsonObject = _object(
    approvals={"type": "array", "items": APPROVAL}, total=_COUNT, total_capped={"type": "boolean"}
)
PAGE["properties"]["next_cursor"] = _TEXT

TRAIL: JsonObject = _object(
    entries={
        "type": "array",
        "items": _object(
            seq=_COUNT,
            approval=_TEXT,
            event={"type": "string", "enum": [event.value for event in Event]},
            revision={"type": "integer", "minimum": 0},
            actor=_TEXT,
            established=_maybe(_TEXT),
            assurance=_maybe(_TEXT),
            at=_TIME,
            data={"type": "object"},
            previous=_TEXT,
            hash=_TEXT,
        ),
    },
    verified=_maybe({"type": "boolean"}),
    folded={"type": "array", "items": _object(event=_TEXT, count=_COUNT, first=_TIME, last=_TIME)},
)

_ERROR: JsonObject = _object(code=_TEXT, message=_TEXT)


_APPROVALS = (
    "submit-expense request-approval ask-human get-approval wait-for-approval approve reject edit-approval "
    "cancel-approval redeem-approval report-outcome"
).split()
_SUCCESSES: dict[str, list[JsonObject]] = {
    **{name: [APPROVAL] for name in _APPROVALS},
    "increase-counter": [COUNTED, APPROVAL],
    "list-pending": [PAGE],
    "audit-trail": [TRAIL],
}


def shape_of(name: str) -> JsonObject:
    """What the tool `name` returns: one of its successes, or an error."""
    return {"type": "object", "anyOf": [*_SUCCESSES[name], _ERROR]}
