"""The protocol's view and transaction, on one connection and within one `BEGIN`.

Every statement on a path for a waiting caller is in the method that runs it.
"""

import re
import sqlite3

from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.store.sqlite.approvals import SqliteApprovals
from mcp_hitl.store.sqlite.clients import SqliteClients
from mcp_hitl.store.sqlite.facts import SqliteFacts
from mcp_hitl.store.sqlite.flows import SqliteFlows
from mcp_hitl.store.sqlite.lists import SqliteLists
from mcp_hitl.store.sqlite.log import SqliteLog
from mcp_hitl.store.sqlite.requesters import SqliteRequesters
from mcp_hitl.store.sqlite.sessions import SqliteSessions
from mcp_hitl.store.sqlite.stops import SqliteStops
from mcp_hitl.store.sqlite.sweeps import SqliteSweeps
from mcp_hitl.store.statement import Statement

_CONTROL = re.compile(
    r"(?> \s | \ufeff | ; | --[^\n]* | /\*.*?\*/ )*+ (BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
"""Matches statements that begin or end a transaction, also after text that SQLite skips
(https://www.sqlite.org/lang_transaction.html).
"""


class SqliteTransaction:
    """The view and transaction that the desk's work gets."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Use `db`; its thread begins and commits."""
        self._db = db
        self.approvals = SqliteApprovals(db)
        self.lists = SqliteLists(db)
        self.requesters = SqliteRequesters(db)
        self.sweeps = SqliteSweeps(db)
        self.stops = SqliteStops(db)
        self.facts = SqliteFacts(db)
        self.flows = SqliteFlows(db)
        self.sessions = SqliteSessions(db)
        self.clients = SqliteClients(db)
        self.log = SqliteLog(db, self.facts)

    def head_to_keep(self) -> tuple[int, str] | None:
        """Return the head to keep beside the file once this is committed; None if an older one must not be lost."""
        return self.log.head() if self.log.lost() is None or self.facts.restored() is not None else None

    def forget(self) -> None:
        """Forget remembered values, because another transaction has begun or changes were undone."""
        self.facts.forget()
        self.log.forget()
        self.stops.forget()

    def execute(self, statement: str | Statement, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """See `View.execute`."""
        text = statement if isinstance(statement, str) else statement.sqlite
        if control := _CONTROL.match(text):
            raise Invalid(f"An action cannot use {control[1].upper()}: it already runs inside a transaction.")
        self.forget()
        return self._db.execute(text, values).fetchall()
