"""Facts about a database that `doctor` examines, apart from its approvals."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mcp_hitl.domain.clients import Acquaintance
from mcp_hitl.domain.policy import Profile
from mcp_hitl.domain.session import Session, Whereabouts
from mcp_hitl.domain.stop import Stop


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
    inbox: Whereabouts | None = None
    """The inbox's present or last address, even if no process serves it."""
    sessions: tuple[Session, ...] = ()
    """The people who are signed in at the inbox."""
