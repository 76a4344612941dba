"""The tool that puts a change of the payload to the person: they see the difference, and it is theirs if they agree."""

from mcp_hitl.desk.deciding import checked_comment
from mcp_hitl.domain import forms
from mcp_hitl.domain.approval import Approval
from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.errors import Invalid
from mcp_hitl.domain.policy import Assurance, Verdict
from mcp_hitl.domain.presentation import review, revision_wanted
from mcp_hitl.domain.text import indented, visible
from mcp_hitl.server.arguments import Edit
from mcp_hitl.server.asking import Answered
from mcp_hitl.server.call import Call, Outcome
from mcp_hitl.server.schemas import APPROVAL
from mcp_hitl.server.tools.deciding import put
from mcp_hitl.server.tools.tool import Tool

_FORM: JsonObject = forms.define(
    {
        "properties": {
            "decision": {
                "type": "string",
                "title": "Your decision",
                "oneOf": [
                    {"const": Verdict.APPROVE.value, "title": "Change it so; it stays pending"},
                    {"const": Verdict.REJECT.value, "title": "Leave it as it is"},
                ],
            },
        },
        "required": ["decision"],
    }
)


async def edit_approval(call: Call, arguments: Edit) -> Outcome:
    """Put a change to the person, and make it if they agree."""
    approval = await call.desk.get(call.caller, arguments.id)
    checked_comment(arguments.comment)
    call.desk.admit(approval.kind, arguments.payload)
    message = "" if call.state else await _message(call, approval, arguments)  # an answer has had its question
    shown = await put(call, approval, message, _FORM)
    if not isinstance(shown, Answered):
        return shown
    try:
        chosen = forms.check_answer(_FORM, dict(shown.result.content or {}))
    except Invalid as mistake:
        raise Invalid(f"{mistake} Nothing was changed; ask the person again.") from None
    if Verdict(chosen["decision"]) is Verdict.REJECT:
        return call.reply(await call.desk.get(call.caller, arguments.id), "The person left it as it is.")
    edited = await call.desk.edit(
        call.caller,
        arguments.id,
        arguments.payload,
        revision=shown.state.revision,
        digest=shown.state.digest,
        assurance=Assurance.LOCAL,
        comment=arguments.comment,
    )
    return call.reply(edited)


async def _message(call: Call, approval: Approval, arguments: Edit) -> str:
    earlier = await call.desk.earlier(call.caller, approval)
    parts = [
        "An AI agent asks you to change what is asked for. If you agree, it changes as follows; nobody has decided on "
        "it then, and earlier decisions do not count any more.",
        revision_wanted(approval.payload, arguments.payload),
        "What it is now:",
        review(approval, call.desk.clock(), earlier),
    ]
    if arguments.comment:
        parts += ["The agent's reason:", indented(visible(arguments.comment, keep="\n"))]
    return "\n\n".join(parts)


EDIT_APPROVAL = Tool(
    name="edit-approval",
    title="Let the person edit",
    description=(
        "Put a change of a pending approval's payload to the person. They see the difference and agree or not; what "
        "they agree to becomes a new revision, still pending, on which nobody has decided."
    ),
    takes=Edit,
    returns=(APPROVAL,),
    serve=edit_approval,
    idempotent=True,
)
