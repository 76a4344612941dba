"""Shows approvals in the words of one process: for programs, for models, and where a person decides."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Unreadable
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.domain.values.text import visible
from mcp_hitl.present.approval_views import Telling, shape, summary, where


class Listed(Protocol):
    """A page of a list."""

    @property
    def approvals(self) -> Sequence[Seen]:
        """What is on the page."""
        ...

    @property
    def unreadable(self) -> Sequence[Unreadable]:
        """Why what is stored in some places cannot be read."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page, or None."""
        ...

    @property
    def total(self) -> int:
        """The number of approvals, counted up to a limit."""
        ...

    @property
    def total_capped(self) -> bool:
        """True if there may be more."""
        ...


class Views:
    """How one process shows approvals. It takes only what the desk says somebody sees."""

    def __init__(
        self,
        rulebook: Callable[[], Rulebook],
        clock: Callable[[], datetime],
        *,
        address: Callable[[], Origin | None],
        inbox: str,
    ) -> None:
        """Show by the present `rulebook`; `address` is the inbox's, and `inbox` says in words where else to decide."""
        self._rulebook = rulebook
        self._clock = clock
        self._address = address
        self._inbox = inbox

    def shape(self, approval: Seen) -> JsonObject:
        """Return the approval as JSON for programs."""
        return shape(approval, self._telling(approval))

    def page_shape(self, page: Listed) -> JsonObject:
        """Return a page of a list as JSON for programs."""
        content: JsonObject = {
            "approvals": [self.shape(approval) for approval in page.approvals],
            "total": page.total,
            "total_capped": page.total_capped,
        }
        if page.unreadable:
            content["unreadable"] = [{"id": visible(one.approval), "message": str(one)} for one in page.unreadable]
        return content if page.next_cursor is None else content | {"next_cursor": page.next_cursor}

    def summary(self, approval: Seen) -> str:
        """Return the approval as text for a model."""
        return summary(approval, self._telling(approval))

    def page_of(self, approval_id: str) -> str | None:
        """Return the URL of an approval's page in the inbox, without any secret; None if there is no inbox."""
        address = self._address()
        return None if address is None else f"{address}/approvals/{approval_id}"

    def where(self, approval_id: str) -> str:
        """Return in words where a person decides it."""
        return where(self.page_of(approval_id), self._inbox)

    def _telling(self, approval: Approval) -> Telling:
        kind = self._rulebook().kind_of(approval.kind, approval.definition)
        return Telling(self._clock(), self._inbox, kind, self.page_of(approval.id))
