"""Finds what else a requester has asked for."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.store.lists import Listed


class RequesterReads(Protocol):
    """Finds what else a requester has asked for."""

    def earlier(self, requester: str, kind: str, but: str, limit: int) -> list[Listed]:
        """Return the requester's other approvals of a kind, without the one with the id `but`.

        First those that people rejected, then those that a rule rejected (of the newest thousand rejected), then the
        others. Within each, the newest comes first.
        """
        ...

    def count_earlier(self, requester: str, kind: str, but: str, now: datetime, most: int) -> dict[Status, int]:
        """Return how many of those have which status at `now`, each counted up to `most` or a little more."""
        ...

    def open(self, requesters: Collection[str], kind: str, now: datetime) -> tuple[int, int]:
        """Return how many approvals of a kind these requesters have pending, and the bytes of their payloads.

        What is overdue at `now` does not count. However many are open, this takes the same time.
        """
        ...

    def identified_by(self, ways: Collection[str]) -> list[str]:
        """Return the ids of all requesters who were identified in one of these ways, each once."""
        ...

    def count_ruled(self, requester: str, kind: str, rule: str, since: datetime, now: datetime) -> int:
        """Return the number of the requester's approvals that a rule approved after `since` and not after `now`."""
        ...
