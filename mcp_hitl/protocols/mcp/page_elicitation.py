"""Sends the person to an approval's page, in the way of each protocol revision from 2025-11-25 on.

The client only says whether the person agrees to go there. The person decides on the page, which knows who they are;
no answer of a client decides anything (THREATS T16, T18). The URL names the approval. It has no secret in it, and none
of the agent's words.
"""

import logging
import secrets
from dataclasses import replace

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestURLParams, InputRequiredResult
from pydantic import ValidationError

from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.domain.values.text import in_order, indented, one_line
from mcp_hitl.protocols.mcp.call import ANSWER, Call, Outcome
from mcp_hitl.protocols.mcp.replies import Reply
from mcp_hitl.protocols.mcp.request_state import PageState

logger = logging.getLogger(__name__)

_TITLE = 200
"""The most characters of the title shown next to the URL; the page shows all of it."""


async def send(call: Call, approval: Seen, lead: str) -> Outcome | Call:
    """Send the person to the page of a pending approval. Return the approval once its page is answered or time is over.

    `lead` introduces the page in our own words. If there is no page, or the client cannot or will not open it, this
    returns the call itself, which continues with a form in the time that is left.
    """
    sent, answer = call.sent, call.answer
    if call.state is not None:
        return call  # They were shown a form.
    if sent is not None and answer is not None:
        return await _come_back(call, sent, closed=answer.action != "accept")
    if sent is not None and sent.answered(approval):
        return call.reply(approval)
    page = call.views.page_of(approval.id)
    if page is None or not call.opens_pages:
        return call
    state = PageState.of(approval)
    message = in_order(f"{lead}\n\n{indented(one_line(approval.title, _TITLE))}")
    if call.modern:
        request = ElicitRequest(params=ElicitRequestURLParams(message=message, url=page))
        return InputRequiredResult(input_requests={ANSWER: request}, request_state=state.dump())
    return await _elicit(call, state, message, page)


async def _come_back(call: Call, sent: PageState, *, closed: bool) -> Reply:
    seconds = 0 if closed else call.form_seconds
    held = await call.desk.approvals.wait(
        call.caller, sent.approval, seconds=seconds, tick=call.tick, until=sent.answered
    )
    return _told(call, sent, held, closed=closed)


async def _elicit(call: Call, state: PageState, message: str, page: str) -> Outcome | Call:
    """Ask during the call and watch the page at the same time: the person may be there before the client answers."""
    session, request = call.context.session, call.context.request_id
    mark = secrets.token_urlsafe(16)
    closed = refused = False
    started = anyio.current_time()
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            try:
                held = await call.desk.approvals.wait(
                    call.caller, state.approval, seconds=call.form_seconds, tick=call.tick, until=state.answered
                )
                if state.answered(held):
                    await session.send_elicit_complete(mark, related_request_id=request)
            except HitlError as error:
                logger.warning("stopped waiting for an answer on a page: %s", error)
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            result = await session.elicit_url(message, page, mark, related_request_id=request)
            closed = result.action != "accept"
        except MCPError as error:
            logger.info("the client did not open a page (%s)", error.error.code)
            refused = True
        except ValidationError:
            pass  # Values that no answer may have: they would not be looked at either.
        if closed or refused:
            tasks.cancel_scope.cancel()
    held = await call.desk.approvals.get(call.caller, state.approval)
    if refused and not state.answered(held):
        return replace(call, form_seconds=max(0.0, call.form_seconds - (anyio.current_time() - started)))
    return _told(call, state, held, closed=closed)


def _told(call: Call, sent: PageState, held: Seen, *, closed: bool) -> Reply:
    if sent.answered(held):
        return call.reply(held)
    return call.reply(
        held,
        "The person did not go to its page; nothing was decided."
        if closed
        else "The person has not answered on its page yet.",
    )
