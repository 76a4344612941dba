"""Tools for an action that the caller carries out itself: use the approval, act, report the outcome."""

from mcp_hitl.protocols.mcp.call import Call, Outcome
from mcp_hitl.server.arguments import Redeem, Report
from mcp_hitl.server.schemas import APPROVAL
from mcp_hitl.server.tools.tool import Tool


async def redeem_approval(call: Call, arguments: Redeem) -> Outcome:
    """Use an approval once."""
    return call.reply(await call.desk.approvals.redeem(call.caller, arguments.id, arguments.digest))


async def report_outcome(call: Call, arguments: Report) -> Outcome:
    """Report the outcome of the action."""
    return call.reply(await call.desk.approvals.report(call.caller, arguments.id, arguments.succeeded, arguments.note))


REDEEM_APPROVAL = Tool(
    name="redeem-approval",
    title="Redeem an approval",
    description=(
        "Call this right before you carry out an approved action yourself, with the digest of the payload that you are "
        "about to act on. It succeeds once; if it is refused, do not act."
    ),
    takes=Redeem,
    returns=(APPROVAL,),
    serve=redeem_approval,
    at_once=True,
)
REPORT_OUTCOME = Tool(
    name="report-outcome",
    title="Report how it went",
    description="After a redeemed action, report whether it succeeded, so that people and the audit trail know.",
    takes=Report,
    returns=(APPROVAL,),
    serve=report_outcome,
    idempotent=True,
    at_once=True,
)
