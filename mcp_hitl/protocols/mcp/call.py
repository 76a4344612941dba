"""One tool call: its caller, the client's abilities, and the answer that came with it."""

from dataclasses import dataclass
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types import (
    CallToolRequestParams,
    ClientCapabilities,
    ElicitationCapability,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS, is_version_at_least

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.present.views import Views
from mcp_hitl.protocols.mcp.replies import Reply
from mcp_hitl.protocols.mcp.request_state import PageState, load

FORM_SECONDS = 45.0
"""How long a form stays open during a call on the older revisions, and how long a call waits for an answer on a page.

This is less than any client's limit (THREATS T40).
"""

PAGES_SINCE = "2025-11-25"
"""The first revision on which a server can ask a client to open a page."""

ANSWER = "answer"
"""The key of the single question, under which a client on 2026-07-28 sends the answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call in progress."""

    desk: Desk
    views: Views
    caller: Principal
    context: ServerRequestContext[Any, Any]
    params: CallToolRequestParams
    form_seconds: float = FORM_SECONDS

    @property
    def modern(self) -> bool:
        """True if the client speaks 2026-07-28, where questions are results and answers are new calls."""
        return self.context.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def shows_forms(self) -> bool:
        """True if the client declares that it can show forms."""
        capabilities = self.context.session.client_capabilities
        return capabilities is not None and shows_forms(capabilities)

    @property
    def opens_pages(self) -> bool:
        """True if the client declares that it can send its person to a URL, and the revision allows this."""
        declared = self._elicitation
        known = is_version_at_least(self.context.protocol_version, PAGES_SINCE)
        return known and declared is not None and declared.url is not None

    @property
    def state(self) -> Shown | None:
        """The state of the form that this call answers, or None."""
        carried = self._carried
        return carried if isinstance(carried, Shown) else None

    @property
    def sent(self) -> PageState | None:
        """The state of the page that this call comes back from, or None."""
        carried = self._carried
        return carried if isinstance(carried, PageState) else None

    @property
    def about(self) -> str | None:
        """The id of the approval that an earlier round was about; None in the first round."""
        carried = self._carried
        return None if carried is None else carried.approval

    @property
    def answer(self) -> ElicitResult | None:
        """The answer that came with this call, or None.

        Raises:
            Invalid: it does not answer a form or a page.
        """
        given = (self.params.input_responses or {}).get(ANSWER)
        if given is None:
            return None
        if not isinstance(given, ElicitResult):
            raise Invalid("This is not an answer to a form. Ask the person again.")
        return given

    async def tick(self, seconds: float) -> None:
        """Report to the client that the call is still running."""
        await self.context.session.report_progress(seconds, message="Waiting for a person.")

    def reply(self, approval: Seen, note: str | None = None) -> Reply:
        """Return the approval as a tool's result, with `note` before its text."""
        text = self.views.summary(approval)
        return Reply(self.views.shape(approval), f"{note}\n{text}" if note else text)

    @property
    def _elicitation(self) -> ElicitationCapability | None:
        capabilities = self.context.session.client_capabilities
        return None if capabilities is None else capabilities.elicitation

    @property
    def _carried(self) -> Shown | PageState | None:
        state = self.params.request_state
        return None if state is None else load(state)


Outcome = Reply | InputRequiredResult


def shows_forms(capabilities: ClientCapabilities) -> bool:
    """Return True if a client declares forms. An empty elicitation capability means forms only."""
    declared = capabilities.elicitation
    return declared is not None and (declared.form is not None or declared.url is None)
