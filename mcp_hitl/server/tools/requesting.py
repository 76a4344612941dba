"""Tools with which the agent asks for an approval, or takes the request back."""

from mcp_hitl.domain.errors import Invalid
from mcp_hitl.domain.kinds import EXPENSE
from mcp_hitl.server.arguments import Action, Cancel, Expense
from mcp_hitl.server.call import Call, Outcome
from mcp_hitl.server.schemas import APPROVAL
from mcp_hitl.server.tools.tool import Tool


async def submit_expense(call: Call, arguments: Expense) -> Outcome:
    """Open the approval of an expense."""
    payload = arguments.model_dump(exclude={"dedup_key"}, exclude_none=True)
    return call.reply(
        await call.desk.submit(call.caller, EXPENSE.name, payload, dedup_key=arguments.dedup_key),
    )


async def request_approval(call: Call, arguments: Action) -> Outcome:
    """Open the approval of any action."""
    if not arguments.title.strip():
        raise Invalid("title: it must not be blank.")
    approval = await call.desk.submit(
        call.caller, arguments.kind, arguments.details, claim=arguments.title, dedup_key=arguments.dedup_key
    )
    return call.reply(approval)


async def cancel_approval(call: Call, arguments: Cancel) -> Outcome:
    """Take a request back."""
    return call.reply(await call.desk.cancel(call.caller, arguments.id, arguments.reason))


SUBMIT_EXPENSE = Tool(
    name="submit-expense",
    title="Submit an expense",
    description=(
        "Ask a person to approve an expense. Returns at once with status `pending` and an id; the decision may take "
        "minutes or days. Then call wait-for-approval. Submitting the same expense again returns the same approval."
    ),
    takes=Expense,
    returns=(APPROVAL,),
    serve=submit_expense,
    idempotent=True,
)
REQUEST_APPROVAL = Tool(
    name="request-approval",
    title="Request an approval",
    description=(
        "Before you do something that a person should agree to (pay, publish, send, delete, export, grant access), ask "
        "for approval here, with everything you are going to do in `details`. Returns at once with status `pending`. "
        "Call wait-for-approval, and act only on `approved`, and then exactly as `payload` says."
    ),
    takes=Action,
    returns=(APPROVAL,),
    serve=request_approval,
    idempotent=True,
)
CANCEL_APPROVAL = Tool(
    name="cancel-approval",
    title="Cancel a request",
    description="Take back a pending request of your own, because it is not wanted any more.",
    takes=Cancel,
    returns=(APPROVAL,),
    serve=cancel_approval,
)
