"""The data that can be read from a database, in one consistent snapshot."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.clients import Acquaintance
from mcp_hitl.domain.approvals.flow import FlowState, JournalEntry
from mcp_hitl.domain.approvals.search import Sifted, Sought
from mcp_hitl.domain.approvals.session import Session, Whereabouts
from mcp_hitl.domain.approvals.statistics import Ended, Given
from mcp_hitl.domain.approvals.stop import Stop
from mcp_hitl.domain.evidence.audit import Recorded
from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.values.canonical import JsonObject


class View(Protocol):
    """The possible queries."""

    def get(self, approval_id: str) -> Approval | None:
        """Return the approval with its decisions, or None."""
        ...

    def pending(self, now: datetime, *, kind: str | None, after: str | None, limit: int) -> list[Approval]:
        """Return the oldest pending approvals that are not overdue at `now`, after the id `after`, in order of id."""
        ...

    def count_pending(self, now: datetime, *, kind: str | None, most: int) -> int:
        """Return the number of those approvals, counted up to `most`."""
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

    def ended(self, since: datetime, now: datetime, limit: int) -> list[Ended]:
        """Return approvals that were resolved after `since` or have expired by `now`; the latest first."""
        ...

    def given(self, since: datetime, now: datetime) -> list[Given]:
        """Return the decisions of people, made at any time, on the approvals that `ended` returns for the same span."""
        ...

    def every(self, after: str, limit: int) -> list[Approval]:
        """Return all approvals after the id `after`, in order of id."""
        ...

    def keyed(self, requester: str, kind: str, dedup_key: str) -> Approval | None:
        """Return the requester's approval of this kind with this deduplication key, in any status."""
        ...

    def latest_equal(self, requester: str, kind: str, digest: str, status: Status) -> Approval | None:
        """Return the newest of this requester, kind, payload (original or edited) and `status`; if pending, keyless."""
        ...

    def earlier(self, requester: str, kind: str, but: str, limit: int) -> list[Approval]:
        """Return the requester's other approvals of a kind, without the one with the id `but`.

        First those that people rejected, then those that a rule rejected (of the newest thousand rejected), then the
        others. Within each, the newest comes first.
        """
        ...

    def count_earlier(self, requester: str, kind: str, but: str, now: datetime, most: int) -> dict[Status, int]:
        """Return how many of those have which status at `now`, each counted up to `most` or a little more."""
        ...

    def erasable(self, until: datetime, after: str, limit: int) -> list[str]:
        """Return the ids of approvals resolved by `until` and not erased, after the id `after`, in order of id."""
        ...

    def count_open(self, requester: str, kind: str, now: datetime, most: int) -> int:
        """Return the number of the requester's approvals of a kind that are pending and not overdue, up to `most`."""
        ...

    def count_ruled(self, requester: str, kind: str, rule: str, since: datetime) -> int:
        """Return the number of the requester's approvals that a rule has approved since then."""
        ...

    def due(self, now: datetime, limit: int) -> list[str]:
        """Return the pending approvals that have timed events due at `now`, longest due first."""
        ...

    def next_due(self) -> datetime | None:
        """Return the instant of the next timed event."""
        ...

    def paused(self, kind: str | None) -> bool:
        """Return True if everything, or this kind, is paused."""
        ...

    def stops(self) -> list[Stop]:
        """Return what is paused, by whom and since when; everything first, then by kind."""
        ...

    def unsettled(self, limit: int) -> list[str]:
        """Return the approvals whose outcome is unknown, in order of id."""
        ...

    def open_kinds(self) -> dict[str, int]:
        """Return the number of approvals that are pending or have a running flow, by kind."""
        ...

    def clients(self) -> list[Acquaintance]:
        """Return the connected clients, the one seen last first."""
        ...

    def hash_at(self, seq: int) -> str | None:
        """Return the hash of the entry with this number."""
        ...

    def flow_state(self, flow_id: str) -> FlowState | None:
        """Return the state of a flow."""
        ...

    def runnable(self, now: datetime, kinds: Sequence[str], limit: int) -> list[str]:
        """Return the runnable flows of these kinds that nobody has claimed at `now`."""
        ...

    def next_wake(self, kinds: Sequence[str]) -> datetime | None:
        """Return when the next flow wakes from its sleep, or a lease runs out."""
        ...

    def journal(self, flow_id: str) -> list[JournalEntry]:
        """Return the journal of a flow, in order."""
        ...

    def entries(self, approval_id: str) -> list[Recorded]:
        """Return the audit entries of one approval, in order."""
        ...

    def chain(self, after: int, limit: int) -> list[Recorded]:
        """Return the audit entries after `after`, in order."""
        ...

    def head(self) -> tuple[int, str]:
        """Return the `seq` and hash of the newest audit entry; 0 and the genesis hash if there is none."""
        ...

    def count_events(self, actor: str, kind: str, events: Sequence[str], since: datetime) -> int:
        """Return how many entries with one of these events an actor has caused on approvals of a kind since then."""
        ...

    def content(self, approval_id: str) -> dict[str, str]:
        """Return the contents that are stored apart from the log for an approval: canonical JSON by digest."""
        ...

    def mark(self) -> datetime:
        """Return the latest instant ever recorded."""
        ...

    def database_id(self) -> str:
        """Return the id that distinguishes this database from every other."""
        ...

    def governed(self) -> bool:
        """Return True if this database has ever had a policy file."""
        ...

    def profile(self) -> Profile:
        """Return the profile with which this database was opened."""
        ...

    def news(self, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """Return `(seq, approval id, event)` of the audit entries after `after`, in order."""
        ...

    def last_seq(self) -> int:
        """Return the `seq` of the newest audit entry; 0 if there is none."""
        ...

    def counter(self) -> Decimal:
        """Return the counter's value."""
        ...

    def expenses(self) -> dict[str, JsonObject]:
        """Return the reimbursements, by approval: amount, currency, description, category."""
        ...

    def session(self, digest: str) -> Session | None:
        """Return the session whose secret has this digest, expired or not."""
        ...

    def sessions(self) -> list[Session]:
        """Return every session, expired or not, the oldest first."""
        ...

    def has_link(self, digest: str) -> bool:
        """Return True if there is an unused link with this digest."""
        ...

    def inbox(self) -> Whereabouts | None:
        """Return the inbox's address, as recorded by the process that served it last."""
        ...
