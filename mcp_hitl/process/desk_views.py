"""The views of a desk, for every front-end of one process."""

from mcp_hitl.desk import Desk
from mcp_hitl.present.views import Views


def views_of(desk: Desk, *, inbox: str) -> Views:
    """Return how this process shows what is on `desk`; `inbox` says in words where people decide."""
    return Views(lambda: desk.rulebook, desk.clock, address=lambda: desk.inbox.address, inbox=inbox)
