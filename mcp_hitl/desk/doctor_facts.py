"""Reads the facts for `doctor` in one snapshot of the database, without judging them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mcp_hitl.desk.copies import older
from mcp_hitl.desk.timekeeping import Clock, told_by
from mcp_hitl.desk.transactions.log_entries import instant, is_stopped
from mcp_hitl.domain.approvals.clients import Acquaintance
from mcp_hitl.domain.approvals.session import Session
from mcp_hitl.domain.approvals.stop import Stop
from mcp_hitl.domain.evidence.chain import Recorded
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.store.view import View

_MOST_UNSETTLED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The facts at one instant. `open_kinds` counts the approvals that are pending or still running, by kind."""

    now: datetime
    """The present time of the computer's clock."""
    mark: datetime
    """The latest instant ever recorded in the database."""
    profile: Profile
    governed: bool
    """True if a policy file has ever been in force for this database."""
    stops: tuple[Stop, ...]
    unsettled: tuple[str, ...]
    """The first few approvals whose outcome is unknown."""
    open_kinds: Mapping[str, int]
    clients: tuple[Acquaintance, ...]
    """The most recent client first."""
    older: int | None = None
    """The last entry known before an older copy was put back, if nobody has confirmed that; 0 if nobody knows it."""
    inbox: Origin | None = None
    """The inbox's present or last address, even if no process serves it."""
    leap: timedelta = timedelta()
    """How far the computer's clock leapt ahead while it was running, without being believed."""
    sessions: tuple[Session, ...] = ()
    """The people who are signed in at the inbox."""
    silent: tuple[tuple[str, str], ...] = ()
    """The first few approvals whose action began and is carried on by nobody, or by a process that is stopped; each
    with the lock that the process held.
    """
    unclaimed: tuple[tuple[str, str, str | None], ...] = ()
    """The first few approvals whose action nobody carries out, though it is not stopped; each with its kind and the
    code that carries it out.
    """
    policy: str | None = None
    """The digest of the policy file that it was opened with last."""
    policy_change: Recorded | None = None
    """The last change of the policy file."""


def examine(view: View, clock: Clock | None = None, *, machine: str | None = None) -> Examination:
    """Return the facts at the present time of `clock`, or of this computer."""
    timekeeper = told_by(clock)
    timekeeper.check(view.facts.boot(timekeeper.boot_id), view.facts.mark())
    wall, believed = timekeeper.wall(), timekeeper()
    now = instant(view, believed)
    return Examination(
        now=wall,
        leap=wall - believed,
        mark=view.facts.mark(),
        profile=view.facts.profile(),
        governed=view.facts.governed(),
        policy=view.facts.policy(),
        policy_change=view.log.latest(Event.POLICY_CHANGED.value),
        stops=tuple(view.stops.all()),
        unsettled=tuple(view.sweeps.unsettled(_MOST_UNSETTLED)),
        silent=tuple(view.flows.silent(now)),
        unclaimed=tuple(one for one in view.flows.unclaimed(now) if not is_stopped(view, one[1])),
        open_kinds=view.sweeps.open_kinds(),
        clients=tuple(view.clients.all()),
        inbox=view.facts.inbox(machine),
        older=older(view),
        sessions=tuple(session for session in view.sessions.all() if session.lasts_at(now)),
    )
