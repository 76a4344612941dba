"""Reads the facts for `doctor` in one snapshot of the database, without judging them."""

from datetime import datetime

from mcp_hitl.desk.recording import instant
from mcp_hitl.domain.examination import Examination
from mcp_hitl.store.view import View

_MOST_UNSETTLED = 5


def examine(view: View, clock: datetime) -> Examination:
    """Return the facts at `clock`, the computer's own time."""
    now = instant(view, clock)
    return Examination(
        now=clock,
        mark=view.mark(),
        profile=view.profile(),
        governed=view.governed(),
        stops=tuple(view.stops()),
        unsettled=tuple(view.unsettled(_MOST_UNSETTLED)),
        open_kinds=view.open_kinds(),
        clients=tuple(view.clients()),
        inbox=view.inbox(),
        sessions=tuple(session for session in view.sessions() if now < session.until),
    )
