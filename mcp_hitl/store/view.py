"""The data that can be read from a database, in one consistent snapshot."""

from typing import Protocol

from mcp_hitl.store.approvals import ApprovalReads
from mcp_hitl.store.clients import ClientReads
from mcp_hitl.store.facts import FactReads
from mcp_hitl.store.flows import FlowReads
from mcp_hitl.store.lists import ListReads
from mcp_hitl.store.log import LogReads
from mcp_hitl.store.requesters import RequesterReads
from mcp_hitl.store.sessions import SessionReads
from mcp_hitl.store.statement import Statement
from mcp_hitl.store.stops import StopReads
from mcp_hitl.store.sweeps import SweepReads


class View(Protocol):
    """The queries, by what they are about."""

    @property
    def approvals(self) -> ApprovalReads:
        """Finds single approvals."""
        ...

    @property
    def lists(self) -> ListReads:
        """Lists, searches and counts approvals for people."""
        ...

    @property
    def requesters(self) -> RequesterReads:
        """Finds what else a requester has asked for."""
        ...

    @property
    def sweeps(self) -> SweepReads:
        """Finds approvals that something has to be done about, whoever they belong to."""
        ...

    @property
    def stops(self) -> StopReads:
        """Reads the emergency stops."""
        ...

    @property
    def log(self) -> LogReads:
        """Reads the audit log, and the contents behind its digests."""
        ...

    @property
    def facts(self) -> FactReads:
        """Reads the facts of the database itself."""
        ...

    @property
    def flows(self) -> FlowReads:
        """Reads flows and their journals."""
        ...

    @property
    def sessions(self) -> SessionReads:
        """Reads sign-in links and sessions."""
        ...

    @property
    def clients(self) -> ClientReads:
        """Reads the connected clients."""
        ...

    def execute(self, statement: str | Statement, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Return the rows of a statement on the tables of a flow or an effect, with `?` for each value.

        A text has to suit every database that it runs on. A read can only read.

        Raises:
            Invalid: the statement would begin or end a transaction.
        """
        ...
