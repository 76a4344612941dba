"""What a database holds beside its approvals, as `doctor` examines it: facts, without a judgement."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mcp_hitl.domain.clients import Acquaintance
from mcp_hitl.domain.policy import Profile
from mcp_hitl.domain.session import Session, Whereabouts
from mcp_hitl.domain.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The facts, at one instant. `open_kinds` counts what is pending or still runs, by kind."""

    now: datetime
    """By the computer's clock."""
    mark: datetime
    """The latest instant ever recorded."""
    profile: Profile
    governed: bool
    """Whether a policy file has governed this database."""
    stops: tuple[Stop, ...]
    unsettled: tuple[str, ...]
    """Approvals whose outcome nobody knows: the first few."""
    open_kinds: Mapping[str, int]
    clients: tuple[Acquaintance, ...]
    """The newest first."""
    inbox: Whereabouts | None = None
    """Where it is or was last, whether or not a process serves it."""
    sessions: tuple[Session, ...] = ()
    """Who is signed in there."""
