"""The output schemas of the tools: a branch for each success and one for errors.

Some clients also validate the structured content of errors against these (the TypeScript SDK v1 does), so no branch may
be missing. A model pays for each byte of them in every conversation, so they have only the fields that a caller relies
on. `tests/server/shapes.py` has the full shapes, and the tests check every result against those as well.
"""

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.values.canonical import JsonObject

_TEXT: JsonObject = {"type": "string"}
_LIST: JsonObject = {"type": "array"}

APPROVAL: JsonObject = {
    "properties": {
        "id": _TEXT,
        "kind": {},
        "title": {},
        "status": {"enum": [status.value for status in Status]},
        "payload": {},
        "digest": _TEXT,
        "revision": {},
        "requested_by": {},
        "requested_at": {},
        "expires_at": {},
        "stage": {},
        "quorum": {},
        "decisions": _LIST,
        "edits": {},
        "answer": {},
        "progress": {},
        "outcome": {},
        "asked": {},
        "url": {},
        "next": _TEXT,
    },
    "required": ["id", "status", "next"],
}

COUNTED: JsonObject = {
    "properties": {"counter": {"type": "number"}, "increased_by": {"type": "number"}},
    "required": ["counter", "increased_by"],
}

PAGE: JsonObject = {
    "properties": {
        "approvals": {"type": "array", "items": {"required": ["id", "status", "title"]}},
        "total": {"type": "integer"},
        "total_capped": {"type": "boolean"},
        "next_cursor": _TEXT,
        "unreadable": _LIST,
    },
    "required": ["approvals", "total"],
}

TRAIL: JsonObject = {
    "properties": {
        "entries": {"type": "array", "items": {"required": ["seq", "event", "actor", "at", "hash"]}},
        "verified": {"type": ["boolean", "null"]},
        "folded": {"type": "array", "items": {"required": ["event", "count", "first", "last"]}},
    },
    "required": ["entries", "verified"],
}

_ERROR: JsonObject = {"required": ["code", "message"]}


def output(*successes: JsonObject) -> JsonObject:
    """Return a tool's output schema: one of `successes`, or an error."""
    return {"type": "object", "anyOf": [*successes, _ERROR]}
