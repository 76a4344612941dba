"""The tools: each with a name, its arguments, its results, and the function that serves it."""

from mcp_hitl.server.tools.decisions import APPROVE, REJECT
from mcp_hitl.server.tools.edits import EDIT_APPROVAL
from mcp_hitl.server.tools.questions import ASK_HUMAN, INCREASE_COUNTER
from mcp_hitl.server.tools.reads import AUDIT_TRAIL, GET_APPROVAL, LIST_PENDING, WAIT_FOR_APPROVAL
from mcp_hitl.server.tools.redemptions import REDEEM_APPROVAL, REPORT_OUTCOME
from mcp_hitl.server.tools.requests import CANCEL_APPROVAL, REQUEST_APPROVAL, SUBMIT_EXPENSE
from mcp_hitl.server.tools.tool import AnyTool

TOOLS: dict[str, AnyTool] = {
    tool.name: tool
    for tool in (
        INCREASE_COUNTER,
        SUBMIT_EXPENSE,
        REQUEST_APPROVAL,
        ASK_HUMAN,
        LIST_PENDING,
        GET_APPROVAL,
        WAIT_FOR_APPROVAL,
        APPROVE,
        REJECT,
        EDIT_APPROVAL,
        CANCEL_APPROVAL,
        REDEEM_APPROVAL,
        REPORT_OUTCOME,
        AUDIT_TRAIL,
    )
}
"""The tools by name, in the order in which clients list them."""
