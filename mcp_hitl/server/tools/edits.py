"""The tool that proposes a new payload to the person. They see the difference, and make the edit if they agree."""

from mcp_hitl.desk.transactions.decide import checked_comment
from mcp_hitl.domain.policy import forms
from mcp_hitl.domain.policy.assurances import IN_FORM
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.text import indented, visible
from mcp_hitl.present.approval_views import review
from mcp_hitl.present.differences import revision_wanted
from mcp_hitl.protocols.mcp.call import Call, Outcome
from mcp_hitl.protocols.mcp.form_elicitation import Answered
from mcp_hitl.server.arguments import Edit
from mcp_hitl.server.schemas import APPROVAL
from mcp_hitl.server.tools.decisions import COMMENT, comment_field, put
from mcp_hitl.server.tools.tool import Tool

EDIT_FORM: JsonObject = {
    "type": "object",
    "properties": {
        "decision": {
            "type": "string",
            "title": "Your decision",
            "oneOf": [
                {"const": Verdict.APPROVE.value, "title": "Change it; it stays pending"},
                {"const": Verdict.REJECT.value, "title": "Leave it as it is"},
            ],
        },
        COMMENT: comment_field(None),
    },
    "required": ["decision"],
}


async def edit_approval(call: Call, arguments: Edit) -> Outcome:
    """Propose a change to the person, and make it if they agree."""
    approval = await call.desk.approvals.get(call.caller, arguments.id)
    checked_comment(arguments.comment)
    call.desk.approvals.admit(approval.kind, arguments.payload)
    message = "" if call.state else await _message(call, arguments)  # an answer has had its question
    shown = await put(call, approval, message, _form(arguments.comment))
    if not isinstance(shown, Answered):
        return shown
    try:
        chosen = forms.check_answer(EDIT_FORM, dict(shown.result.content or {}))
    except Invalid as mistake:
        raise Invalid(f"{mistake} Nothing was changed; ask the person again.") from None
    if Verdict(chosen["decision"]) is Verdict.REJECT:
        return call.reply(await call.desk.approvals.get(call.caller, arguments.id), "The person left it as it is.")
    edited = await call.desk.approvals.edit(
        call.caller, shown.state, arguments.payload, assurance=IN_FORM, comment=chosen.get(COMMENT)
    )
    return call.reply(edited)


def _form(proposed: str | None) -> JsonObject:
    return EDIT_FORM | {"properties": EDIT_FORM["properties"] | {COMMENT: comment_field(proposed)}}


async def _message(call: Call, arguments: Edit) -> str:
    approval = await call.desk.approvals.get(call.caller, arguments.id, deciding=IN_FORM)
    earlier = await call.desk.approvals.earlier(call.caller, approval)
    parts = [
        "An AI agent asks you to change this request. If you agree, it changes as follows. Nobody has decided on the "
        "new version then: earlier decisions no longer count.",
        revision_wanted(approval.payload, arguments.payload),
        "The request now:",
        review(approval, call.desk.clock(), earlier),
    ]
    if arguments.comment:
        parts += [
            "The agent's reason, which is recorded only if you send it:",
            indented(visible(arguments.comment, keep="\n")),
        ]
    return "\n\n".join(parts)


EDIT_APPROVAL = Tool(
    name="edit-approval",
    title="Let the person edit",
    description=(
        "Propose a change of a pending approval's payload to the person, who sees the difference and agrees or not. If "
        "they agree, this returns the new revision, which is still pending and on which nobody has decided."
    ),
    takes=Edit,
    returns=(APPROVAL,),
    serve=edit_approval,
    idempotent=True,
)
