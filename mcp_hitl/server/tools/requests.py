"""Tools with which the agent requests an approval, or cancels the request."""

from mcp_hitl.domain.policy.kinds import EXPENSE
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.protocols.mcp.call import Call, Outcome
from mcp_hitl.server.arguments import Action, Cancel, Expense
from mcp_hitl.server.schemas import APPROVAL
from mcp_hitl.server.tools.tool import Tool


async def submit_expense(call: Call, arguments: Expense) -> Outcome:
    """Request the approval of an expense."""
    payload = arguments.model_dump(exclude={"dedup_key"}, exclude_none=True)
    return call.reply(
        await call.desk.approvals.submit(call.caller, EXPENSE.name, payload, dedup_key=arguments.dedup_key),
    )


async def request_approval(call: Call, arguments: Action) -> Outcome:
    """Request the approval of any action."""
    if not arguments.title.strip():
        raise Invalid("title: it must not be blank.")
    approval = await call.desk.approvals.submit(
        call.caller, arguments.kind, arguments.details, claim=arguments.title, dedup_key=arguments.dedup_key
    )
    return call.reply(approval)


async def cancel_approval(call: Call, arguments: Cancel) -> Outcome:
    """Cancel a request."""
    return call.reply(await call.desk.approvals.cancel(call.caller, arguments.id, arguments.reason))


SUBMIT_EXPENSE = Tool(
    name="submit-expense",
    title="Submit an expense",
    description=(
        "Ask a person to approve an expense. Returns immediately with status `pending` and an id: call "
        "wait-for-approval then, since the decision may take minutes or days. An equal expense returns the same "
        "approval while it is pending and for a time after it was rejected; later it is a new one, unless both calls "
        "have the same dedup_key."
    ),
    takes=Expense,
    returns=(APPROVAL,),
    serve=submit_expense,
    idempotent=True,
    at_once=True,
)
REQUEST_APPROVAL = Tool(
    name="request-approval",
    title="Request an approval",
    description=(
        "Before you do something that a person should agree to (pay, publish, send, delete, export, grant access), ask "
        "for approval here, with everything you are going to do in `details`. Returns immediately with status "
        "`pending`: call wait-for-approval, act only on `approved`, and do exactly what `payload` says."
    ),
    takes=Action,
    returns=(APPROVAL,),
    serve=request_approval,
    idempotent=True,
    at_once=True,
)
CANCEL_APPROVAL = Tool(
    name="cancel-approval",
    title="Cancel a request",
    description="Cancel your own pending request when you no longer want it.",
    takes=Cancel,
    returns=(APPROVAL,),
    serve=cancel_approval,
    at_once=True,
)
