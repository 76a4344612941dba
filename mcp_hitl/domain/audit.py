"""The record of what happened: one entry for each event, holding digests and never contents."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from json.encoder import encode_basestring

from mcp_hitl.domain.canonical import JsonObject, canonical, digest_of, rfc8785_form
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
    EDITED = "edited"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    COOLDOWN_LIFTED = "cooldown-lifted"
    PROGRESS = "progress"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    PAUSED = "paused"
    RESUMED = "resumed"
    ERASED = "erased"
    CLOCK_RESET = "clock-reset"
    SIGNED_IN = "signed-in"
    SIGNED_OUT = "signed-out"


RESOLVING = frozenset({Event.APPROVED, Event.REJECTED, Event.EXPIRED, Event.CANCELLED})
"""What ends an approval's being pending."""

NOWHERE = ""
"""The approval of an entry that concerns none in particular, such as a pause."""


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
    """An entry in its place in the chain: `hash` covers everything else, and `previous` the entry before."""

    seq: int
    entry: Entry
    previous: str
    hash: str

    def as_json(self) -> JsonObject:
        """The entry as tools, resources and exports show it."""
        return body(self.seq, self.entry, self.previous) | {"hash": self.hash}

    @property
    def intact(self) -> bool:
        """Whether the hash is that of the rest."""
        try:
            return self.hash == hash_of(self.seq, self.entry, self.previous)
        except ValueError:  # it has no canonical form
            return False


def body(seq: int, entry: Entry, previous: str) -> JsonObject:
    """What an entry's hash covers."""
    return {
        "seq": seq,
        "approval": entry.approval,
        "event": entry.event.value,
        "revision": entry.revision,
        "actor": entry.actor,
        "established": entry.established,
        "assurance": entry.assurance and entry.assurance.value,
        "at": rfc3339(entry.at),
        "data": entry.data,
        "previous": previous,
    }


def hash_of(seq: int, entry: Entry, previous: str) -> str:
    """The hash of an entry: SHA-256 of the RFC 8785 form of its body."""
    return digest_of(rfc8785_form(body(seq, entry, previous)))


def sealed(seq: int, entry: Entry, previous: str) -> tuple[str, str]:
    """The RFC 8785 form of a new entry's data, and the entry's hash.

    It is `hash_of`, with the form of the body put together around that of the data: each change writes several entries.
    """
    data = canonical(entry.data, what="data").decode()
    form = (
        f'{{"actor":{_text(entry.actor)},"approval":{_text(entry.approval)},"assurance":{_text(entry.assurance)},'
        f'"at":"{rfc3339(entry.at)}","data":{data},"established":{_text(entry.established)},'
        f'"event":{_text(entry.event)},"previous":{_text(previous)},"revision":{entry.revision},"seq":{seq}}}'
    )
    return data, digest_of(form.encode())


def _text(text: str | None) -> str:
    return "null" if text is None else encode_basestring(text)


def genesis(database: str) -> str:
    """What the first entry has as its `previous`: the digest of the database's id."""
    return content_digest(database) or ""


def by(principal: Principal) -> JsonObject:
    """The fields of an entry that say who acted."""
    return {"actor": principal.id, "established": principal.established.value}


def content_digest(content: object) -> str | None:
    """What an entry holds in place of a comment, a reason or an answer."""
    return None if content is None else digest_of(canonical(content, what="content"))
