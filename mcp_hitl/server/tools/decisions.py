"""Tools that ask the person for a decision, on the approval's page or in a form.

The model only proposes; only the person's choice counts.
"""

from mcp_types import InputRequiredResult

from mcp_hitl.desk.transactions.decide import MAX_COMMENT
from mcp_hitl.desk.transactions.log_entries import check_open
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.policy import forms
from mcp_hitl.domain.policy.assurances import IN_FORM
from mcp_hitl.domain.policy.client_forms import for_client
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid, NeedsPerson
from mcp_hitl.domain.values.text import in_order, indented, visible
from mcp_hitl.present.approval_views import review
from mcp_hitl.protocols.mcp.call import Call, Outcome
from mcp_hitl.protocols.mcp.form_elicitation import Answered, ask
from mcp_hitl.protocols.mcp.page_elicitation import send
from mcp_hitl.server.arguments import Approve, Reject
from mcp_hitl.server.schemas import APPROVAL
from mcp_hitl.server.tools.tool import Tool

_LEAD = "An AI agent asks you to decide on this. Its page shows you all of it, and you decide there:"
_DECISION, COMMENT = "decision", "comment"
_OUR_FIELDS: JsonObject = {
    _DECISION: {
        "type": "string",
        "title": "Your decision",
        "oneOf": [
            {"const": Verdict.APPROVE.value, "title": "Approve"},
            {"const": Verdict.REJECT.value, "title": "Reject"},
        ],
    },
    COMMENT: {"type": "string", "title": "Comment", "maxLength": MAX_COMMENT},
}
OUR_FORM: JsonObject = {"type": "object", "properties": _OUR_FIELDS, "required": [_DECISION]}
"""The form of a decision. It stands here complete: `forms.define` would load the JSON Schema library at every start."""
_BESIDE_OURS = "answer_"
"""Added before a field name of the approval's own form, as often as needed, if one of our two fields has that name."""


async def approve(call: Call, arguments: Approve) -> Outcome:
    """Ask the person, and propose to approve."""
    return await _decide(call, arguments.id, Verdict.APPROVE, arguments.comment)


async def reject(call: Call, arguments: Reject) -> Outcome:
    """Ask the person, and propose to reject."""
    return await _decide(call, arguments.id, Verdict.REJECT, arguments.reason)


async def _decide(call: Call, approval_id: str, proposed: Verdict, comment: str | None) -> Outcome:
    approval = await call.desk.approvals.get(call.caller, approval_id)
    if call.about is None:
        check_open(approval, call.desk.clock())
    sent = await send(call, approval, _LEAD)
    if not isinstance(sent, Call):
        return sent
    call = sent
    if call.state is None and call.shows_forms and approval.policy.counts(IN_FORM):
        # Nobody is asked for a decision that would not count, even to reject.
        await call.desk.decisions.check_beforehand(call.caller, approval, IN_FORM, Verdict.REJECT)
    message = await _message(call, approval, proposed, comment)
    shown = await put(call, approval, message, _form(approval, comment))
    if not isinstance(shown, Answered):
        return shown
    verdict, words, answer = _said(approval, proposed, comment, dict(shown.result.content or {}))
    decided = await call.desk.decisions.decide(
        call.caller, shown.state, verdict, assurance=IN_FORM, comment=words, answer=answer
    )
    return call.reply(decided)


async def put(call: Call, approval: Seen, message: str, form: JsonObject) -> Answered | Outcome:
    """Show the person a form about an approval. If this does not return `Answered`, it is the call's own result.

    Raises:
        AlreadyResolved: there is nothing left to decide.
        NeedsPerson: this client cannot show a form, or an answer in a form is not enough here.
    """
    if call.state is None:
        check_open(approval, call.desk.clock())
        least = approval.policy.assurance
        shows = call.shows_forms and for_client(form, call.context.protocol_version) is not None
        if not shows or not approval.policy.counts(IN_FORM):
            if shows:
                why = f"this policy requires the assurance {least.value}, which a form here does not give"
            elif call.opens_pages and not call.shows_forms and call.views.page_of(approval.id) is None:
                why = "this client can only open pages for them, and no inbox is running"
            else:
                why = "this client cannot show them this form"
            raise NeedsPerson(
                f"Only a person can decide, and {why}; {approval.id} is still pending. "
                f"Ask your person to look at it ({call.views.where(approval.id)}), and wait with wait-for-approval."
            )
    shown = await ask(call, approval, message, form, ours=(_DECISION,))
    if isinstance(shown, InputRequiredResult):
        return shown
    if not isinstance(shown, Answered):
        approval = await call.desk.approvals.get(call.caller, approval.id)
        check_open(approval, call.desk.clock())
        return call.reply(approval, "The person has not decided yet.")
    if shown.result.action != "accept":
        return call.reply(
            await call.desk.approvals.get(call.caller, approval.id), "The person closed the form without deciding."
        )
    return shown


async def _message(call: Call, approval: Seen, proposed: Verdict, comment: str | None) -> str:
    whole = await call.desk.approvals.get(call.caller, approval.id, deciding=IN_FORM)
    parts = [
        "An AI agent asks you to decide on this. Read all of it, then choose below.",
        review(whole, call.desk.clock(), await call.desk.approvals.earlier(call.caller, approval)),
    ]
    if comment:
        parts += [
            f"The agent proposes to {proposed.value} it with this comment, which is recorded only if you send it:",
            indented(visible(comment, keep="\n")),
        ]
    return "\n\n".join(parts)


def _form(approval: Approval, comment: str | None) -> JsonObject:
    """Return the form: the decision, a comment, and the approval's own fields, which are only needed to approve."""
    fields = _OUR_FIELDS | {COMMENT: comment_field(comment)}
    names = _names(approval)
    for field in forms.fields_of(approval.form) if approval.form else ():
        fields[names[field.name]] = {"title": field.label} | field.schema
    return {"type": "object", "properties": fields, "required": [_DECISION]}


def comment_field(proposed: str | None) -> JsonObject:
    """Return the field for the person's comment, with the one that the agent proposes as a default.

    What would deceive the eye stands in the message alone, and so does what a client could lay out in another order.
    """
    in_one_direction = (proposed or "") in (in_order(proposed or ""), in_order(proposed or "")[1:-1])
    if proposed and visible(proposed, keep="\n") == proposed and in_one_direction:
        return _OUR_FIELDS[COMMENT] | {"default": proposed}
    return _OUR_FIELDS[COMMENT]


def _said(
    approval: Approval, proposed: Verdict, comment: str | None, content: JsonObject
) -> tuple[Verdict, str | None, JsonObject | None]:
    """Return the person's verdict, comment, and answer to the approval's own form, from the completed form.

    Raises:
        Invalid: the decision is missing, or it or the comment does not fit its field.
    """
    try:
        ours = forms.check_answer(OUR_FORM, {name: content[name] for name in _OUR_FIELDS if name in content})
    except Invalid as mistake:
        raise Invalid(f"{mistake} Nothing was decided; {approval.id} is still pending. Ask the person again.") from None
    verdict = Verdict(ours[_DECISION])
    words = ours.get(COMMENT)
    # Only what they sent is theirs; and what the agent proposed is not where they chose the opposite.
    if verdict is not proposed and words == comment:
        words = None
    own_names = {shown: name for name, shown in _names(approval).items()}
    own = {own_names.get(name, name): value for name, value in content.items() if name not in _OUR_FIELDS}
    return verdict, words, own or None


def _names(approval: Approval) -> dict[str, str]:
    """Return the shown name of each of the approval's own fields, different from all others and from our two."""
    names = [field.name for field in forms.fields_of(approval.form)] if approval.form else []
    taken = {*_OUR_FIELDS, *names}
    shown = dict(zip(names, names, strict=True))
    for name in filter(_OUR_FIELDS.__contains__, names):
        while shown[name] in taken:
            shown[name] = _BESIDE_OURS + shown[name]
        taken.add(shown[name])
    return shown


APPROVE = Tool(
    name="approve",
    title="Let the person approve",
    description=(
        "Show a pending approval to the person, on its page or in a form, so that they approve or reject it. Only "
        "their choice counts, since you cannot decide yourself; if the client can show neither, this says how they "
        "can decide."
    ),
    takes=Approve,
    returns=(APPROVAL,),
    serve=approve,
)
REJECT = Tool(
    name="reject",
    title="Let the person reject",
    description=(
        "Show a pending approval to the person, on its page or in a form; the form has the reason that you propose for "
        "rejecting it. Only their choice counts, since you cannot decide yourself."
    ),
    takes=Reject,
    returns=(APPROVAL,),
    serve=reject,
)
