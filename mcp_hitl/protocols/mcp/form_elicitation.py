"""Shows the person a form during a call, in the way of each protocol revision.

On 2026-07-28 the form is the call's result, and the answer comes with the next call, whenever that is. On the older
revisions it is a request during the call; it is withdrawn when its time is over, when somebody decides elsewhere, or
when the server stops.
"""

import logging
import secrets
from collections.abc import Collection
from dataclasses import dataclass

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from pydantic import ValidationError

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.client_forms import for_client
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.domain.values.text import in_order
from mcp_hitl.protocols.mcp.call import ANSWER, Call
from mcp_hitl.protocols.mcp.request_state import dump_form

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """The person answered the form: accept, decline or cancel."""

    result: ElicitResult
    state: Shown
    """What the form showed them."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """There was no form, or it was withdrawn. Somebody may have decided the approval elsewhere."""


async def ask(
    call: Call, approval: Approval, message: str, form: JsonObject, ours: Collection[str] = ()
) -> Answered | Unanswered | InputRequiredResult:
    """Show the person `form`, with the fields that are `ours`, about a pending approval.

    An `InputRequiredResult` is the call's own result.
    """
    state = call.state
    answer = call.answer
    if state is not None and answer is not None:
        return Answered(answer, state)
    shown = for_client(form, call.context.protocol_version, ours)
    if not call.shows_forms or shown is None:
        return Unanswered()
    message = in_order(message)
    state = Shown.of(approval, nonce=secrets.token_urlsafe(16), at=call.desk.clock())
    if call.modern:
        request = ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=shown))
        return InputRequiredResult(input_requests={ANSWER: request}, request_state=dump_form(state))
    result = await _elicit(call, approval, message, shown)
    return Unanswered() if result is None else Answered(result, state)


async def _elicit(call: Call, approval: Approval, message: str, shown: JsonObject) -> ElicitResult | None:
    result: ElicitResult | None = None
    async with anyio.create_task_group() as tasks:

        async def withdraw() -> None:
            try:
                await call.desk.approvals.wait(call.caller, approval.id, seconds=call.form_seconds, tick=call.tick)
            except HitlError as error:
                logger.warning("a form is withdrawn: %s", error)
            tasks.cancel_scope.cancel()

        tasks.start_soon(withdraw)
        try:
            result = await call.context.session.elicit_form(message, shown, related_request_id=call.context.request_id)
        except MCPError as error:
            logger.info("the client could not show a form (%s)", error.error.code)
        except ValidationError:
            # Values that no form can have, such as objects: an answer, and one that every form refuses, since no field
            # has an empty name. (An empty value would count as left out, and an answer without it could fit.)
            result = ElicitResult(action="accept", content={"": True})
        tasks.cancel_scope.cancel()
    return result
