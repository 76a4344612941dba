"""The changes that one transaction can make to a database.

Use `lock` to read rows that a write depends on: no other write can change them until the commit.
"""

from typing import Protocol

from mcp_hitl.store.approvals import ApprovalChanges
from mcp_hitl.store.clients import ClientChanges
from mcp_hitl.store.facts import FactChanges
from mcp_hitl.store.flows import FlowChanges
from mcp_hitl.store.log import LogChanges
from mcp_hitl.store.sessions import SessionChanges
from mcp_hitl.store.stops import StopChanges
from mcp_hitl.store.view import View


class Transaction(View, Protocol):
    """The changes, by what they are about."""

    @property
    def approvals(self) -> ApprovalChanges:
        """Changes approvals, their decisions, edits and progress."""
        ...

    @property
    def stops(self) -> StopChanges:
        """Changes the emergency stops."""
        ...

    @property
    def log(self) -> LogChanges:
        """Appends to the audit log."""
        ...

    @property
    def facts(self) -> FactChanges:
        """Changes the facts of the database itself."""
        ...

    @property
    def flows(self) -> FlowChanges:
        """Changes flows and their journals."""
        ...

    @property
    def sessions(self) -> SessionChanges:
        """Changes sign-in links and sessions."""
        ...

    @property
    def clients(self) -> ClientChanges:
        """Records connected clients."""
        ...
