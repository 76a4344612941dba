"""What the desk asks of a database. SQLite keeps it now; nothing here is something that only SQLite can do.

Each `read` is one consistent snapshot, each `write` one transaction. The work is a plain function that is handed a
view or a transaction and may be called from any thread; what it returns comes back after the commit, and what it
raises undoes it. Rows that a write depends on are read with `lock`, which no other write passes until the commit.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol, TypeVar

from mcp_hitl.domain.approval import Approval, Decision, Edit, Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.audit import Entry, Recorded
from mcp_hitl.domain.canonical import JsonObject
from mcp_hitl.domain.clients import Acquaintance, Client
from mcp_hitl.domain.flow import FlowState, JournalEntry, Lease
from mcp_hitl.domain.numbers import Ended, Given
from mcp_hitl.domain.policy import Profile
from mcp_hitl.domain.principal import Principal
from mcp_hitl.domain.searching import Sifted, Sought
from mcp_hitl.domain.session import Session, Whereabouts
from mcp_hitl.domain.stop import Stop

T = TypeVar("T")


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
        """The requester's other approvals of a kind, but for the one of this id; newest first."""
        ...

    def erasable(self, until: datetime, after: str, limit: int) -> list[str]:
        """What was resolved by then and is not erased, from behind the id `after`, in order of id."""
        ...

    def count_open(self, requester: str, kind: str, most: int) -> int:
        """How many of the requester's approvals of a kind are pending, counted up to `most`."""
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

    def pauses(self) -> list[str]:
        """What is stopped: kinds, and the empty text for everything."""
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


class Transaction(View, Protocol):
    """What can be changed."""

    def lock(self, approval_id: str) -> Approval | None:
        """`get`, held until the commit."""
        ...

    def insert(self, approval: Approval) -> None:
        """Store a new approval."""
        ...

    def add_decision(self, decision: Decision) -> bool:
        """Store a decision; False where this approver already decided this stage of this revision."""
        ...

    def resolve(
        self,
        approval_id: str,
        status: Status,
        at: datetime,
        *,
        answer: JsonObject | None = None,
        reason: str | None = None,
        cooldown_until: datetime | None = None,
    ) -> bool:
        """End a pending approval; False where it was not pending any more."""
        ...

    def revise(self, approval: Approval, edit: Edit) -> bool:
        """Replace payload, policy and timing of a pending approval; False if it is resolved or revised by now."""
        ...

    def set_timing(self, approval: Approval) -> None:
        """Store `stage_since`, `timed_to`, `escalated` and what follows from them of a pending approval."""
        ...

    def set_outcome(self, approval_id: str, outcome: Outcome, *, was: tuple[OutcomeState, ...] | None = None) -> bool:
        """Record how the approved action went; False where it is in none of the states `was`."""
        ...

    def add_progress(self, approval_id: str, progress: Progress) -> None:
        """Record what a flow reports."""
        ...

    def pause(self, kind: str | None, by: str, at: datetime) -> bool:
        """Stop a kind, or everything; False where it was stopped already."""
        ...

    def resume(self, kind: str | None) -> bool:
        """End a stop; False where there was none."""
        ...

    def erase(self, approval_id: str, at: datetime) -> None:
        """Remove the contents of a resolved approval; the log stays."""
        ...

    def insert_flow(self, flow_id: str, kind: str, approval_id: str, lease_until: datetime) -> Lease:
        """Store a new flow, held until then."""
        ...

    def claim_flow(self, flow_id: str, now: datetime, until: datetime) -> Lease | None:
        """Take hold of a runnable flow that nobody holds at `now`."""
        ...

    def renew(self, lease: Lease, until: datetime) -> bool:
        """Keep hold of it; False where somebody else has it."""
        ...

    def leave_flow(self, lease: Lease, state: FlowState, *, wake_at: datetime | None = None) -> bool:
        """Let go of a flow in another state; False where somebody else has it."""
        ...

    def wake_flow(self, flow_id: str) -> bool:
        """Make a waiting flow runnable."""
        ...

    def wake_sleepers(self, now: datetime) -> int:
        """Make runnable whose time has come; how many."""
        ...

    def settle_flow(self, flow_id: str, state: FlowState) -> bool:
        """End a flow that stopped as unknown."""
        ...

    def write_journal(self, lease: Lease, entry: JournalEntry) -> bool:
        """Write a step, or finish a claimed one; False where somebody else has the flow or the step is done."""
        ...

    def add_expense(self, approval_id: str, amount: Decimal, expense: JsonObject) -> None:
        """Record the reimbursement of an approved expense; a second one for the same approval fails."""
        ...

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Run a statement on tables of a flow's own, with `?` for each value."""
        ...

    def meet(self, client: Client, now: datetime) -> None:
        """Record that a client is connected; of those seen longest ago, all but `MOST_CLIENTS` are forgotten."""
        ...

    def remember(self, now: datetime) -> None:
        """Raise the latest instant ever recorded."""
        ...

    def set_governed(self) -> None:
        """Record that a policy file governs this database."""
        ...

    def set_profile(self, profile: Profile) -> None:
        """Record what kind of place this is."""
        ...

    def count_ask(self, approval_id: str) -> None:
        """Add one to how often it was asked."""
        ...

    def lift_cooldown(self, approval_id: str) -> None:
        """Let the payload of a rejected approval be asked anew."""
        ...

    def append(self, entry: Entry) -> None:
        """Append to the audit log."""
        ...

    def increase_counter(self, amount: Decimal) -> Decimal:
        """Add to the counter and return what it stands at."""
        ...

    def add_link(self, digest: str, who: Principal, until: datetime) -> None:
        """Store that whoever has what has this digest may sign in as `who`, once."""
        ...

    def take_link(self, digest: str, now: datetime) -> Principal | None:
        """Use a link up and return who it signs in; None where there is none any more."""
        ...

    def add_session(self, session: Session) -> None:
        """Store a session."""
        ...

    def end_session(self, digest: str) -> bool:
        """Remove a session; False where there was none."""
        ...

    def shut_out(self) -> list[Session]:
        """Remove every link and every session; the sessions that there were, the oldest first."""
        ...

    def drop_outdated(self, now: datetime) -> None:
        """Remove links and sessions whose time is over."""
        ...

    def set_inbox(self, where: Whereabouts | None) -> None:
        """Record where the inbox is, or that it is nowhere."""
        ...


class Store(Protocol):
    """A database that is open."""

    async def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on one snapshot.

        Raises:
            Unavailable: the database cannot be read now.
        """
        ...

    async def survey(self, work: Callable[[View], T]) -> T:
        """Run `work` on one snapshot beside every `read`, which may take long; cancelling it or `close` ends it early.

        Raises:
            Unavailable: the database cannot be read now, or was closed meanwhile.
        """
        ...

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction and return once it is durable.

        Raises:
            Unavailable: nothing was changed; the database stayed locked, or the disk is full.
        """
        ...

    async def changed(self) -> None:
        """Wait until something may have been committed since the last call, by this process or another."""
        ...

    def hold(self, name: str) -> bool:
        """Take hold of something that one process has at a time, until it lets go or ends; False: another has it."""
        ...

    def let_go(self, name: str) -> None:
        """Let go of it."""
        ...

    def is_held(self, name: str) -> bool:
        """Whether a process has hold of it."""
        ...

    async def close(self) -> None:
        """Finish the writes that are queued, end the surveys, and let go of the database."""
        ...
