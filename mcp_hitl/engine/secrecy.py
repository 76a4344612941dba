"""What is secret in one run of a flow, and texts without it: everybody can read an error or a report (THREATS T36)."""

from typing import Any, cast

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.secrets import redacted, secrets_in, without
from mcp_hitl.engine.codec import MARK, marked


class Secrecy:
    """What is secret in the payloads that one run has read, in any of their revisions."""

    def __init__(self, rulebook: Rulebook, first: Approval) -> None:
        """Begin with the approval that started the flow."""
        self._rulebook = rulebook
        self._secrets = set[str]()
        self.add(first)

    def __bool__(self) -> bool:
        """Return True if there is anything secret."""
        return bool(self._secrets)

    def add(self, approval: Approval) -> None:
        """Add what is secret in another approval."""
        kind = self._rulebook.kinds.get(approval.kind)
        if kind is not None and kind.has_secrets:
            held = [approval.payload, *(part for edit in approval.edits for part in (edit.before, edit.after))]
            self._secrets.update(secret for payload in held for secret in secrets_in(kind.schema, payload))

    def hide(self, text: str) -> str:
        """Return a text without it."""
        return without(self._secrets, text)


def check_hides(kind: Kind, value: object) -> None:
    """Refuse a value of which the kind's approval would show what is a `SecretStr` in it.

    Raises:
        Invalid: the message names the fields to mark.
    """
    told = marked(value)
    if told is not None and (shown := sorted(set(_shown(redacted(kind.schema, told), "payload")))):
        raise Invalid(
            f"The kind {kind.name!r} would show secrets: mark {', '.join(shown)} with writeOnly = true in its schema."
        )


def _shown(value: Any, name: str) -> list[str]:
    """Return the names of the fields in which a secret was left."""
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value).items()
        return [one for at, part in held for one in _shown(part, at)]
    if isinstance(value, list):
        return [one for item in cast("list[Any]", value) for one in _shown(item, name)]
    return [name] if value is MARK else []
