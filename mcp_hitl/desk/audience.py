"""Who looks at an approval: the one function that every read of the desk asks what its viewer may see."""

from datetime import datetime

from mcp_hitl.desk.transactions.rights import check_right
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.seen import Audience
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid, NotAllowed


def audience(
    viewer: Principal, approval: Approval, rulebook: Rulebook, now: datetime, deciding: Assurance | None
) -> Audience:
    """Return who the viewer is for this approval at `now`.

    `deciding` is the assurance that a decision would have on the surface where it is shown; None if nobody can decide
    there, such as in a result that a model reads.
    """
    if deciding is not None and approval.seen_at(now) is Status.PENDING:
        try:
            check_right(approval, viewer, deciding, rulebook)
            return Audience.APPROVER
        except (NotAllowed, Invalid):
            pass
    return Audience.OWNER if viewer.is_requester(approval.requester) else Audience.OTHER
