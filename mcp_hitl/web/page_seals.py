"""What a page showed, sealed into it: whatever it sends is bound to that."""

import secrets
from datetime import datetime

from itsdangerous import BadSignature, URLSafeSerializer

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.errors import HitlError, Invalid
from mcp_hitl.domain.values.text import indented
from mcp_hitl.present.differences import edit_in_words


class Seals:
    """Seals what was shown into a page, so that it comes back as it was."""

    def __init__(self, key: bytes) -> None:
        """With a secret `key`."""
        self._serializer = URLSafeSerializer(key, salt="mcp-hitl inbox: shown")

    def seal(self, approval: Approval, at: datetime) -> str:
        """What the page of `approval` carries along."""
        shown = Shown.of(approval, nonce=secrets.token_urlsafe(16), at=at)
        return str(self._serializer.dumps(shown.as_json()))

    def open(self, sealed: str, approval_id: str) -> Shown:
        """Read it back.

        Raises:
            Invalid: it is none of ours, or of another approval.
        """
        try:
            shown = Shown.from_json(self._serializer.loads(sealed))
        except (BadSignature, ValueError):  # none of ours, or of an earlier version's page, which sealed less
            shown = None
        if shown is None or shown.approval != approval_id:
            raise Invalid("This page did not show the approval that it is about. Load it again.")
        return shown


async def changed_since(desk: Desk, principal: Principal, shown: Shown) -> str:
    """What was changed since the page was made, a line for each edit."""
    try:
        approval = await desk.approvals.get(principal, shown.approval)
    except HitlError:
        return ""
    edits = [edit for edit in approval.edits if edit.revision > shown.revision]
    return "".join(f"\n{edit.editor} changed:\n{indented(edit_in_words(edit))}" for edit in edits)
