"""Reads the facts for `doctor` in one snapshot of the database, without judging them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mcp_hitl.desk.copies import older
from mcp_hitl.desk.transactions.log_entries import instant
from mcp_hitl.domain.approvals.clients import Acquaintance
from mcp_hitl.domain.approvals.session import Session, Whereabouts
from mcp_hitl.domain.approvals.stop import Stop
from mcp_hitl.domain.policy.policy import Profile
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
    inbox: Whereabouts | None = None
    """The inbox's present or last address, even if no process serves it."""
    sessions: tuple[Session, ...] = ()
    """The people who are signed in at the inbox."""


def examine(view: View, clock: datetime) -> Examination:
    """Return the facts at `clock`, the computer's own time."""
    now = instant(view, clock)
    return Examination(
        now=clock,
        mark=view.facts.mark(),
        profile=view.facts.profile(),
        governed=view.facts.governed(),
        stops=tuple(view.stops.all()),
        unsettled=tuple(view.sweeps.unsettled(_MOST_UNSETTLED)),
        open_kinds=view.sweeps.open_kinds(),
        clients=tuple(view.clients.all()),
        inbox=view.facts.inbox(),
        older=older(view),
        sessions=tuple(session for session in view.sessions.all() if now < session.until),
    )
