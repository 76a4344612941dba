"""What a viewer sees of an approval. Presentation takes nothing else, so nobody can forget to hide a secret."""

from dataclasses import replace
from enum import StrEnum
from typing import Any, NewType

from mcp_hitl.domain.approvals.approval import Approval, Edit
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.secrets import REDACTED, redacted

Seen = NewType("Seen", Approval)
"""An approval without what its viewer may not see. Everything that the desk returns is one."""


class Audience(StrEnum):
    """Who looks at an approval."""

    APPROVER = "approver"
    """Somebody who may decide it now, on a surface on which they can: a page, a form, a terminal."""
    HOLDER = "holder"
    """Whoever has the payload in hand: they have just sent it, or use the approval up now and act on it."""
    OWNER = "owner"
    """Whoever requested it."""
    OTHER = "other"


def as_seen_by(audience: Audience, approval: Approval, kind: Kind | None) -> Seen:
    """Return what `audience` sees: fields that the kind's schema marks `writeOnly` are for approvers (THREATS T36).

    A holder sees them in the answer to the very call that hands the payload over, and in no later one. Earlier
    revisions they do not hold: an editor may have typed something into one that nobody approved.

    If the kind is not known here, any field may be one, so all of the payload is hidden.
    """
    if audience is Audience.APPROVER or not hides(kind):
        return Seen(approval)
    schema = None if kind is None else kind.schema
    payload = approval.payload if audience is Audience.HOLDER else _hidden(schema, approval.payload)
    edits = tuple(_without_secrets(schema, edit) for edit in approval.edits)
    return Seen(replace(approval, payload=None if payload == REDACTED else payload, edits=edits))


def hides(kind: Kind | None) -> bool:
    """Return True if payloads of this kind may have something secret."""
    return kind is None or kind.has_secrets


def _without_secrets(schema: JsonObject | None, edit: Edit) -> Edit:
    return replace(edit, before=_hidden(schema, edit.before), after=_hidden(schema, edit.after))


def _hidden(schema: JsonObject | None, content: Any) -> Any:
    if content is None:
        return None
    return REDACTED if schema is None else redacted(schema, content)
