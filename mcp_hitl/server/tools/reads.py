"""Tools that change nothing: get, list, wait."""

from mcp_hitl.domain.values.instants import in_words
from mcp_hitl.present.trails import trail_shape, trail_text
from mcp_hitl.protocols.mcp.call import Call, Outcome
from mcp_hitl.protocols.mcp.replies import Reply
from mcp_hitl.server.arguments import Listing, One, Wait
from mcp_hitl.server.schemas import APPROVAL, PAGE, TRAIL
from mcp_hitl.server.tools.tool import Tool


async def list_pending(call: Call, arguments: Listing) -> Outcome:
    """List the pending approvals and questions."""
    page = await call.desk.search.pending(
        call.caller, kind=arguments.kind, limit=arguments.limit, cursor=arguments.cursor
    )
    now = call.desk.clock()
    count = f"{page.total:,} or more" if page.total_capped else f"{page.total:,}"
    lines = [f"{count} pending{'' if page.approvals else '; none on this page'}."]
    lines += [
        f"{approval.id} ({approval.kind}, waiting for {in_words(now - approval.requested_at)}): {approval.title}"
        for approval in page.approvals
    ]
    lines += map(str, page.unreadable)
    if page.next_cursor is not None:
        lines.append(f"More: call again with cursor {page.next_cursor}.")
    return Reply(call.views.page_shape(page), "\n".join(lines))


async def get_approval(call: Call, arguments: One) -> Outcome:
    """Return one approval."""
    return call.reply(await call.desk.approvals.get(call.caller, arguments.id))


async def wait_for_approval(call: Call, arguments: Wait) -> Outcome:
    """Wait until an approval is decided, and return it."""
    return call.reply(
        await call.desk.approvals.wait(call.caller, arguments.id, seconds=arguments.timeout_seconds, tick=call.tick)
    )


async def audit_trail(call: Call, arguments: One) -> Outcome:
    """List the audit entries of one approval; those that repeat are folded."""
    trail = await call.desk.approvals.trail(call.caller, arguments.id)
    return Reply(trail_shape(trail.entries, trail.verified), trail_text(trail.entries))


LIST_PENDING = Tool(
    name="list-pending",
    title="List what is pending",
    description="List the approvals and questions that are waiting for a person, oldest first.",
    takes=Listing,
    returns=(PAGE,),
    serve=list_pending,
    reads_only=True,
    at_once=True,
)
GET_APPROVAL = Tool(
    name="get-approval",
    title="Look at an approval",
    description="Get one approval without waiting: its status, payload, decisions and answer.",
    takes=One,
    returns=(APPROVAL,),
    serve=get_approval,
    reads_only=True,
    at_once=True,
)
WAIT_FOR_APPROVAL = Tool(
    name="wait-for-approval",
    title="Wait for an approval",
    description=(
        "Wait until a person has decided or answered, and get the approval. If it is still `pending` after "
        "timeout_seconds, call this again; waiting costs nothing."
    ),
    takes=Wait,
    returns=(APPROVAL,),
    serve=wait_for_approval,
    reads_only=True,
)
AUDIT_TRAIL = Tool(
    name="audit-trail",
    title="Read the audit trail",
    description="Get everything that happened to one approval: who, what, when, and how sure it is that a person did.",
    takes=One,
    returns=(TRAIL,),
    serve=audit_trail,
    reads_only=True,
)
