"""One tool call: who makes it, what their client can do, and what came with it."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types import CallToolRequestParams, ClientCapabilities, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approval import Approval
from mcp_hitl.domain.errors import Invalid
from mcp_hitl.domain.instants import from_ms, to_ms
from mcp_hitl.domain.principal import Principal
from mcp_hitl.server.replies import Reply

FORM_SECONDS = 45.0
"""How long a form stays open inside a call on the older revisions: less than any client's limit (THREATS T40)."""

ANSWER = "answer"
"""The key of the one question that an answer on 2026-07-28 comes under."""


@dataclass(frozen=True, slots=True)
class FormState:
    """What a form on 2026-07-28 carries along, sealed: which approval, exactly as shown, and a mark of its own."""

    approval: str
    revision: int
    digest: str
    nonce: str
    shown_at: int
    """In milliseconds, by the desk's clock: how long the person looks is recorded (THREATS T18)."""

    @staticmethod
    def of(approval: Approval, nonce: str, shown_at: datetime) -> "FormState":
        """The state of a form that shows `approval` as it is at this instant."""
        return FormState(approval.id, approval.revision, approval.digest, nonce, to_ms(shown_at))

    def looked(self, now: datetime) -> timedelta:
        """How long the form has been there."""
        return max(timedelta(0), now - from_ms(self.shown_at))

    def dump(self) -> str:
        """As request state; the SDK seals it."""
        return json.dumps([self.approval, self.revision, self.digest, self.nonce, self.shown_at])

    @staticmethod
    def load(text: str) -> "FormState":
        """Read back what `dump` wrote: the seal has been checked, so nobody else can have written it."""
        return FormState(*json.loads(text))


@dataclass(frozen=True, slots=True)
class Call:
    """A call in progress."""

    desk: Desk
    caller: Principal
    context: ServerRequestContext[Any, Any]
    params: CallToolRequestParams
    form_seconds: float = FORM_SECONDS

    @property
    def modern(self) -> bool:
        """Whether the client speaks 2026-07-28, where questions are results and answers are new calls."""
        return self.context.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def shows_forms(self) -> bool:
        """Whether the client declares forms."""
        capabilities = self.context.session.client_capabilities
        return capabilities is not None and shows_forms(capabilities)

    @property
    def state(self) -> FormState | None:
        """The state of the form that this call answers."""
        state = self.params.request_state
        return None if state is None else FormState.load(state)

    @property
    def answer(self) -> ElicitResult | None:
        """The answer that came with this call.

        Raises:
            Invalid: it is an answer to something else than a form.
        """
        given = (self.params.input_responses or {}).get(ANSWER)
        if given is None:
            return None
        if not isinstance(given, ElicitResult):
            raise Invalid("The answer is not one to a form. Ask the person again.")
        return given

    async def tick(self, seconds: float) -> None:
        """Tell the client that the call is alive."""
        await self.context.session.report_progress(seconds, message="Waiting for a person.")

    def reply(self, approval: Approval, note: str | None = None) -> Reply:
        """The approval as a tool's answer."""
        text = self.desk.summary(approval)
        return Reply(self.desk.shape(approval), f"{note}\n{text}" if note else text)


Outcome = Reply | InputRequiredResult


def shows_forms(capabilities: ClientCapabilities) -> bool:
    """Whether a client declares forms; an empty elicitation capability means just these."""
    declared = capabilities.elicitation
    return declared is not None and (declared.form is not None or declared.url is None)
