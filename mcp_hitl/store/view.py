"""What can be read of a database, in one consistent snapshot."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from mcp_hitl.domain.approval import Approval, Status
from mcp_hitl.domain.audit import Recorded
from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.clients import Acquaintance
from mcp_hitl.domain.flow import FlowState, JournalEntry
from mcp_hitl.domain.numbers import Ended, Given
from mcp_hitl.domain.policy import Profile
from mcp_hitl.domain.searching import Sifted, Sought
from mcp_hitl.domain.session import Session, Whereabouts
from mcp_hitl.domain.stop import Stop


class View(Protocol):
    """What can be read."""

    def get(self, approval_id: str) -> Approval | None:
        """The approval with its decisions, or None."""
        ...

    def pending(self, now: datetime, *, kind: str | None, after: str | None, limit: int) -> list[Approval]:
        """The oldest pending approvals that are not overdue at `now`, from behind the id `after`, in order of id."""
        ...

    def count_pending(self, now: datetime, *, kind: str | None, most: int) -> int:
        """How many there are of those, counted up to `most`."""
        ...

    def sift_pending(self, now: datetime, sought: Sought, *, after: str | None, limit: int, most: int) -> Sifted:
        """Up to `limit` of those `sought`, among the first `most` behind `after`; among fewer where they are long."""
        ...

    def sift_past(self, now: datetime, sought: Sought, *, before: str | None, limit: int, most: int) -> Sifted:
        """As `sift_pending`, among what has left `pending` or is overdue at `now`; newest request first."""
        ...

    def pending_requesters(self, now: datetime, limit: int) -> list[str]:
        """Who asked for what is pending and not overdue at `now`, each once, in order."""
        ...

    def pending_kinds(self, now: datetime, limit: int) -> list[str]:
        """The kinds of what is pending and not overdue at `now`, each once, in order."""
        ...

    def ended(self, since: datetime, now: datetime, limit: int) -> list[Ended]:
        """What was resolved after `since` or has run out by `now`; the latest first."""
        ...

    def given(self, since: datetime, now: datetime) -> list[Given]:
        """What people decided, at any time, on what `ended` returns for the same span."""
        ...

    def every(self, after: str, limit: int) -> list[Approval]:
        """All approvals from behind the id `after`, in order of id."""
        ...

    def keyed(self, requester: str, kind: str, dedup_key: str) -> Approval | None:
        """The approval that this requester and kind has under a key, in any status."""
        ...

    def latest_equal(self, requester: str, kind: str, digest: str, status: Status) -> Approval | None:
        """The newest of the same requester, kind and payload, as asked or as edited, in `status`; pending: keyless."""
        ...

    def earlier(self, requester: str, kind: str, but: str, limit: int) -> list[Approval]:
        """The requester's other approvals of a kind, but for the one of this id.

        First what people rejected, then what a rule did, of the newest thousand rejected; then the rest. Newest first
        within each.
        """
        ...

    def count_earlier(self, requester: str, kind: str, but: str, now: datetime, most: int) -> dict[Status, int]:
        """How many of those have which status at `now`, each counted up to `most` or a little beyond."""
        ...

    def erasable(self, until: datetime, after: str, limit: int) -> list[str]:
        """What was resolved by then and is not erased, from behind the id `after`, in order of id."""
        ...

    def count_open(self, requester: str, kind: str, now: datetime, most: int) -> int:
        """How many of the requester's of a kind are pending and not overdue at `now`, counted up to `most`."""
        ...

    def count_ruled(self, requester: str, kind: str, rule: str, since: datetime) -> int:
        """How many of the requester's a rule has approved since then."""
        ...

    def due(self, now: datetime, limit: int) -> list[str]:
        """The pending approvals to which time has something to do at `now`, longest due first."""
        ...

    def next_due(self) -> datetime | None:
        """When time will next have something to do."""
        ...

    def paused(self, kind: str | None) -> bool:
        """Whether everything, or this kind, is stopped."""
        ...

    def stops(self) -> list[Stop]:
        """What is stopped, by whom and since when; everything first, then by kind."""
        ...

    def unsettled(self, limit: int) -> list[str]:
        """The approvals whose outcome is unknown, in order of id."""
        ...

    def open_kinds(self) -> dict[str, int]:
        """How many approvals are pending or have a flow that goes on, by kind."""
        ...

    def clients(self) -> list[Acquaintance]:
        """The clients that have connected, the one seen last first."""
        ...

    def hash_at(self, seq: int) -> str | None:
        """The hash of the entry at this place."""
        ...

    def flow_state(self, flow_id: str) -> FlowState | None:
        """Where a flow stands."""
        ...

    def runnable(self, now: datetime, kinds: Sequence[str], limit: int) -> list[str]:
        """The runnable flows of these kinds that nobody holds at `now`."""
        ...

    def next_wake(self, kinds: Sequence[str]) -> datetime | None:
        """When the next flow wakes from its sleep, or a lease runs out."""
        ...

    def journal(self, flow_id: str) -> list[JournalEntry]:
        """The journal of a flow, in order."""
        ...

    def entries(self, approval_id: str) -> list[Recorded]:
        """The audit entries of one approval, in order."""
        ...

    def chain(self, after: int, limit: int) -> list[Recorded]:
        """The audit entries behind `after`, in order."""
        ...

    def head(self) -> tuple[int, str]:
        """The `seq` and hash of the newest audit entry; 0 and the genesis hash where there is none."""
        ...

    def count_events(self, actor: str, kind: str, events: Sequence[str], since: datetime) -> int:
        """How many entries with one of these events an actor has caused on approvals of a kind since then."""
        ...

    def content(self, approval_id: str) -> dict[str, str]:
        """What is kept beside the log for an approval: canonical JSON by digest."""
        ...

    def mark(self) -> datetime:
        """The latest instant ever recorded."""
        ...

    def database_id(self) -> str:
        """What tells this database from every other."""
        ...

    def governed(self) -> bool:
        """Whether a policy file has governed this database."""
        ...

    def profile(self) -> Profile:
        """What kind of place this database was opened as."""
        ...

    def news(self, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """`(seq, approval id, event)` of the audit entries behind `after`, in order."""
        ...

    def last_seq(self) -> int:
        """The `seq` of the newest audit entry; 0 where there is none."""
        ...

    def counter(self) -> Decimal:
        """What the counter stands at."""
        ...

    def expenses(self) -> dict[str, JsonObject]:
        """What was reimbursed, by approval: amount, currency, description, category."""
        ...

    def session(self, digest: str) -> Session | None:
        """The session whose secret has this digest, outdated or not."""
        ...

    def sessions(self) -> list[Session]:
        """Every session, outdated or not, the oldest first."""
        ...

    def has_link(self, digest: str) -> bool:
        """Whether there is such a link that nobody has used."""
        ...

    def inbox(self) -> Whereabouts | None:
        """Where the inbox is, as whoever served it last has recorded it."""
        ...
