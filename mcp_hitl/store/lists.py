"""Lists, searches and counts approvals for people."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.search import Sifted, Sought
from mcp_hitl.domain.values.errors import Unreadable

if TYPE_CHECKING:
    from mcp_hitl.domain.approvals.statistics import Ended, Given


Listed = Approval | Unreadable
"""An approval of a list, or why the one at this place cannot be read: it does not take the others away."""


def id_of(listed: Listed) -> str:
    """Return the id of an approval of a list."""
    return listed.approval if isinstance(listed, Unreadable) else listed.id


class ListReads(Protocol):
    """Lists, searches and counts approvals for people."""

    def pending(self, now: datetime, *, kind: str | None, after: str | None, limit: int) -> list[Listed]:
        """Return the oldest pending approvals that are not overdue at `now`, after the id `after`, in order of id."""
        ...

    def count_pending(self, now: datetime, *, kind: str | None, most: int) -> int:
        """Return the number of those approvals, counted up to `most`."""
        ...

    def those(self, ids: Sequence[str]) -> dict[str, Listed]:
        """Return the approvals with these ids, as many of them as there are, by id."""
        ...

    def sift_pending(self, now: datetime, sought: Sought, *, after: str | None, limit: int, most: int) -> Sifted:
        """Return up to `limit` matches for `sought` among the first `most` after `after`; fewer if they are long."""
        ...

    def sift_past(self, now: datetime, sought: Sought, *, before: str | None, limit: int, most: int) -> Sifted:
        """Do the same for approvals that have left `pending` or are overdue at `now`; newest request first."""
        ...

    def pending_requesters(self, now: datetime, limit: int) -> list[str]:
        """Return the requesters of approvals that are pending and not overdue at `now`, each once, in order."""
        ...

    def pending_kinds(self, now: datetime, limit: int) -> list[str]:
        """Return the kinds of approvals that are pending and not overdue at `now`, each once, in order."""
        ...

    def ended(self, since: datetime, now: datetime, limit: int) -> "list[Ended | Unreadable]":
        """Return approvals that were resolved after `since` or have expired by `now`; the latest first."""
        ...

    def given(self, since: datetime, now: datetime) -> "list[Given | Unreadable]":
        """Return the decisions of people, made at any time, on the approvals that `ended` returns for the same span."""
        ...
