"""Tools that ask the person a question during the call, and leave it pending if they cannot."""

from mcp_types import ElicitResult, InputRequiredResult

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.assurances import IN_FORM
from mcp_hitl.domain.policy.kinds import COUNTER, QUESTION
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.errors import AlreadyResolved, Invalid
from mcp_hitl.domain.values.money import as_json
from mcp_hitl.domain.values.text import indented, visible
from mcp_hitl.flows import counter
from mcp_hitl.present.warnings import warning
from mcp_hitl.protocols.mcp.call import Call, Outcome
from mcp_hitl.protocols.mcp.form_elicitation import Answered, ask
from mcp_hitl.protocols.mcp.page_elicitation import send
from mcp_hitl.protocols.mcp.replies import Reply
from mcp_hitl.server.arguments import Confirm, Question
from mcp_hitl.server.schemas import APPROVAL, COUNTED
from mcp_hitl.server.tools.tool import Tool


async def ask_human(call: Call, arguments: Question) -> Outcome:
    """Ask a question, on its page or with a form."""
    about = call.about
    if about is None:
        payload = arguments.model_dump(include={"question", "form"}, exclude_none=True)
        question = await call.desk.approvals.submit(call.caller, QUESTION.name, payload, dedup_key=arguments.dedup_key)
    else:
        question = await call.desk.approvals.get(call.caller, about)
    if question.seen_at(call.desk.clock()) is Status.PENDING:
        sent = await send(call, question, "An AI agent asks you a question. You can answer it on its page:")
        if not isinstance(sent, Call):
            return sent
        call = sent
    lead = "An AI agent asks you this, in its own words:"
    asks = [lead, indented(visible(arguments.question, keep="\n")), *warning(arguments.question, question.form)]
    shown = await _ask(call, question, "\n\n".join(asks))
    return shown if isinstance(shown, InputRequiredResult) else call.reply(shown)


async def increase_counter(call: Call, arguments: Confirm) -> Outcome:
    """Ask the person for the amount, and increase the counter by it."""
    if not arguments.confirm:
        return await _uncounted(call, "Cancelled.")
    about = call.about
    if about is None:
        question = await call.desk.approvals.submit(call.caller, COUNTER.name, {})
    else:
        question = await call.desk.approvals.get(call.caller, about)
    shown = await _ask(call, question, "By how much should the counter increase?")
    if isinstance(shown, InputRequiredResult):
        return shown
    match shown.seen_at(call.desk.clock()):
        case Status.APPROVED:
            result = shown.outcome.result or {}
            return Reply(result, f"Counter increased by {result['increased_by']}, now at {result['counter']}")
        case Status.REJECTED:
            return await _uncounted(call, "Declined.")
        case Status.CANCELLED:
            return await _uncounted(call, "Cancelled.")
        case Status.PENDING | Status.EXPIRED:
            return call.reply(shown)


async def _uncounted(call: Call, text: str) -> Reply:
    return Reply({"counter": as_json(await call.desk.read(counter.value_of)), "increased_by": 0}, text)


async def _ask(call: Call, question: Seen, message: str) -> Seen | InputRequiredResult:
    """Ask while the question is pending, and return the question in its state after that.

    Raises:
        Invalid: the answer does not fit the form; the question is still pending.
    """
    if question.form is None or question.seen_at(call.desk.clock()) is not Status.PENDING:
        return question
    shown = await ask(call, question, message, question.form)
    if isinstance(shown, InputRequiredResult):
        return shown
    if isinstance(shown, Answered):
        try:
            return await _settle(call, shown.result, shown.state)
        except AlreadyResolved:
            pass  # Somebody answered elsewhere, and that answer counts.
        except Invalid as mistake:
            raise Invalid(
                f"The person's answer does not fit the form: {mistake} Nothing was changed; {question.id} is still "
                "pending. Ask your person to correct it, and get the answer with wait-for-approval."
            ) from None
    return await call.desk.approvals.get(call.caller, question.id)


async def _settle(call: Call, result: ElicitResult, shown: Shown) -> Seen:
    if result.action == "cancel":
        return await call.desk.approvals.cancel(call.caller, shown.approval)
    accepted = result.action == "accept"
    return await call.desk.decisions.decide(
        call.caller,
        shown,
        Verdict.APPROVE if accepted else Verdict.REJECT,
        assurance=IN_FORM,
        answer=dict(result.content or {}) if accepted else None,
    )


INCREASE_COUNTER = Tool(
    name="increase-counter",
    title="Increase the counter",
    description=(
        "Increase the stored counter by an amount that the person enters in a form. If they cannot be asked now, this "
        "returns a `pending` question: call wait-for-approval, and the counter increases once it is answered."
    ),
    takes=Confirm,
    returns=(COUNTED, APPROVAL),
    serve=increase_counter,
)
ASK_HUMAN = Tool(
    name="ask-human",
    title="Ask the person",
    description=(
        "Ask your person a question and get their answer in `answer`; pass a form if the answer needs fields. If they "
        "do not answer during the call, this returns `pending`, and you get the answer later with wait-for-approval; "
        "`rejected` means that they declined to answer, `cancelled` that they closed the question."
    ),
    takes=Question,
    returns=(APPROVAL,),
    serve=ask_human,
)
