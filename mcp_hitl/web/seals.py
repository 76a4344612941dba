"""What a page showed, sealed into it: whatever it sends is bound to that."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from itsdangerous import BadSignature, URLSafeSerializer

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.resolution import stage_of
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.errors import HitlError, Invalid
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.present.approval_views import told_edit


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page showed: which revision and stage, and when; and a mark by which a form sent twice is known."""

    approval: str
    revision: int
    digest: str
    nonce: str
    at: datetime
    stage: int


class Seals:
    """Seals what was shown into a page, so that it comes back as it was."""

    def __init__(self, key: bytes) -> None:
        """With a secret `key`."""
        self._serializer = URLSafeSerializer(key, salt="mcp-hitl inbox: shown")

    def seal(self, approval: Approval, at: datetime) -> str:
        """What the page of `approval` carries along."""
        return str(
            self._serializer.dumps(
                [
                    approval.id,
                    approval.revision,
                    approval.digest,
                    secrets.token_urlsafe(16),
                    to_ms(at),
                    stage_of(approval),
                ]
            )
        )

    def open(self, sealed: str, approval_id: str) -> Shown:
        """Read it back.

        Raises:
            Invalid: it is none of ours, or of another approval.
        """
        try:
            named, revision, digest, nonce, at, stage = self._serializer.loads(sealed)
        except (BadSignature, ValueError):  # none of ours, or of an earlier version's page, which sealed less
            named, revision, digest, nonce, at, stage = "", 0, "", "", 0, 0
        if named != approval_id:
            raise Invalid("This page did not show the approval that it is about. Load it again.")
        return Shown(approval_id, revision, digest, nonce, from_ms(at), stage)


async def changed_since(desk: Desk, principal: Principal, shown: Shown) -> str:
    """What was changed since the page was made, a line for each edit."""
    try:
        approval = await desk.get(principal, shown.approval)
    except HitlError:
        return ""
    edits = [edit for edit in approval.edits if edit.revision > shown.revision]
    telling = desk.telling(approval)
    return "".join(f"\n{edit.editor} changed {told_edit(edit, telling)}" for edit in edits)
