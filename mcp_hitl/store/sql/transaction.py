"""The protocol's view and transaction, on one connection and within one `BEGIN`.

Every statement on a path for a waiting caller is in the method that runs it.
"""

import re

from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.store.sql.approvals import SqlApprovals
from mcp_hitl.store.sql.clients import SqlClients
from mcp_hitl.store.sql.database import Database
from mcp_hitl.store.sql.facts import SqlFacts
from mcp_hitl.store.sql.flows import SqlFlows
from mcp_hitl.store.sql.lists import SqlLists
from mcp_hitl.store.sql.log import SqlLog
from mcp_hitl.store.sql.requesters import SqlRequesters
from mcp_hitl.store.sql.sessions import SqlSessions
from mcp_hitl.store.sql.stops import SqlStops
from mcp_hitl.store.sql.sweeps import SqlSweeps
from mcp_hitl.store.statement import Statement

_CONTROL = re.compile(
    r"(?> \s | \ufeff | ; | --[^\n]* | /\*.*?\*/ )*+ "
    r"(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
"""Matches statements that begin or end a transaction, also after text that SQLite skips
(https://www.sqlite.org/lang_transaction.html).
"""


_ELSEWHERE = re.compile(
    r"\s*+ (SELECT|INSERT|UPDATE|DELETE)\b (?!.*(audit|facts|pauses))", re.VERBOSE | re.DOTALL | re.IGNORECASE
)
"""Matches statements that change nothing of what is remembered: they do not name those tables."""


class SqlTransaction:
    """The view and transaction that the desk's work gets."""

    def __init__(self, db: Database) -> None:
        """Use `db`; its thread begins and commits."""
        self._db = db
        self.approvals = SqlApprovals(db)
        self.lists = SqlLists(db)
        self.requesters = SqlRequesters(db)
        self.sweeps = SqlSweeps(db)
        self.stops = SqlStops(db)
        self.facts = SqlFacts(db)
        self.flows = SqlFlows(db)
        self.sessions = SqlSessions(db)
        self.clients = SqlClients(db)
        self.log = SqlLog(db, self.facts)
        self.disturbed = False
        """True if this part has run a statement of somebody else's, which may have changed anything."""

    def head_to_keep(self) -> tuple[int, str] | None:
        """Return the head to keep beside the file once this is committed; None if an older one must not be lost."""
        return self.log.head() if self.log.lost() is None or self.facts.restored() is not None else None

    def begin(self) -> None:
        """Forget all values, because another transaction has begun."""
        self.facts.forget()
        self.stops.forget()
        self.log.begin()

    def mark(self) -> None:
        """Note where a part of the transaction begins."""
        self.log.mark()
        self.disturbed = False

    def undo(self) -> None:
        """Forget what this part has changed, because the database has undone it."""
        self.facts.forget()
        self.stops.forget()
        self.log.undo()

    def finish(self) -> None:
        """Write what is still to be written before the commit."""
        self.log.write()

    def execute(self, statement: str | Statement, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """See `View.execute`."""
        text = statement if isinstance(statement, str) else getattr(statement, self._db.words.name)
        if control := _CONTROL.match(text):
            raise Invalid(f"An action cannot use {control[1].upper()}: it already runs inside a transaction.")
        self.disturbed = True
        if not _ELSEWHERE.match(text):
            self.facts.forget()
            self.stops.forget()
            self.log.look_again()
        return self._db.execute(text, values).fetchall()
