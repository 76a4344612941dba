"""The record of what happened: one entry for each event, holding digests and never contents."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mcp_hitl.domain.canonical import JsonObject, canonical, digest_of
from mcp_hitl.domain.instants import rfc3339
from mcp_hitl.domain.policy import Assurance
from mcp_hitl.domain.principal import Principal

SYSTEM = "system"
"""The actor of what no principal did, such as an expiry."""


class Event(StrEnum):
    """What an entry reports."""

    OPENED = "opened"
    ASKED_AGAIN = "asked-again"
    DECIDED = "decided"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    COOLDOWN_LIFTED = "cooldown-lifted"
    SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry as it is appended; the store gives it its `seq`, which is also its place in the change feed."""

    approval: str
    event: Event
    revision: int
    actor: str
    at: datetime
    established: str | None = None
    assurance: Assurance | None = None
    data: JsonObject = field(default_factory=JsonObject)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry in its place in the log."""

    seq: int
    entry: Entry

    def as_json(self) -> JsonObject:
        """The entry as tools and resources show it."""
        entry = self.entry
        return {
            "seq": self.seq,
            "approval": entry.approval,
            "event": entry.event.value,
            "revision": entry.revision,
            "actor": entry.actor,
            "established": entry.established,
            "assurance": entry.assurance and entry.assurance.value,
            "at": rfc3339(entry.at),
            "data": entry.data,
        }


def by(principal: Principal) -> JsonObject:
    """The fields of an entry that say who acted."""
    return {"actor": principal.id, "established": principal.established.value}


def content_digest(content: object) -> str | None:
    """What an entry holds in place of a comment, a reason or an answer."""
    return None if content is None else digest_of(canonical(content, what="content"))
