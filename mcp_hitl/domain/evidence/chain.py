"""The audit log: one entry for each event, with digests instead of contents."""

from dataclasses import dataclass, field
from datetime import datetime

from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.values.canonical import JsonObject, canonical, digest_of, rfc8785_form
from mcp_hitl.domain.values.instants import rfc3339

SYSTEM = "system"
"""The actor of events that no principal caused, such as an expiry."""


NOWHERE = ""
"""The `approval` of an entry that concerns no particular approval, such as a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry before it is stored. The store assigns its `seq`, which is also its position in the change feed."""

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
    """An entry in the chain: `hash` covers all other fields, and `previous` is the hash of the entry before."""

    seq: int
    entry: Entry
    previous: str
    hash: str

    def as_json(self) -> JsonObject:
        """Return the entry in the JSON form of tools, resources and exports."""
        return body(self.seq, self.entry, self.previous) | {"hash": self.hash}

    @property
    def intact(self) -> bool:
        """True if `hash` matches the other fields."""
        try:
            return self.hash == hash_of(self.seq, self.entry, self.previous)
        except ValueError:  # it has no canonical form
            return False


def body(seq: int, entry: Entry, previous: str) -> JsonObject:
    """Return the fields of an entry that its hash covers."""
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


def hash_of(seq: int, entry: Entry, previous: str, data: bytes | None = None) -> str:
    """Return the hash of an entry: SHA-256 of the RFC 8785 form of its body.

    `data` is the form of the entry's data, if it is at hand. It is put in its place in the form of all the rest: there
    is one such place, since quotation marks inside a text have a backslash before them.
    """
    rest = rfc8785_form(body(seq, entry, previous) | {"data": None})
    data = rfc8785_form(entry.data) if data is None else data
    return digest_of(rest.replace(b'"data":null', b'"data":' + data))


def genesis(database: str) -> str:
    """Return the `previous` of the first entry: the digest of the database's id."""
    return content_digest(database) or ""


def content_digest(content: object) -> str | None:
    """Return the digest that an entry stores instead of a comment, a reason or an answer; None for None."""
    return None if content is None else digest_of(canonical(content, what="content"))
