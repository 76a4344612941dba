"""The protocol's view and transaction, on one connection and within one `BEGIN`.

Every statement on a path for a waiting caller is in the method that runs it.
"""

import re
import sqlite3

from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.store.sqlite.approvals import ApprovalStatements
from mcp_hitl.store.sqlite.clients import ClientStatements
from mcp_hitl.store.sqlite.effects import EffectStatements
from mcp_hitl.store.sqlite.flows import FlowStatements
from mcp_hitl.store.sqlite.integrity import ExaminingStatements
from mcp_hitl.store.sqlite.log import LogStatements
from mcp_hitl.store.sqlite.pauses import PauseStatements
from mcp_hitl.store.sqlite.queries import ApprovalQueries
from mcp_hitl.store.sqlite.searches import SearchStatements
from mcp_hitl.store.sqlite.sessions import SessionStatements

_CONTROL = re.compile(
    r"(?> \s | \ufeff | ; | --[^\n]* | /\*.*?\*/ )*+ (BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
"""Matches statements that begin or end a transaction, also after text that SQLite skips
(https://www.sqlite.org/lang_transaction.html).
"""


class SqliteTransaction(
    ApprovalQueries,
    ApprovalStatements,
    SearchStatements,
    PauseStatements,
    EffectStatements,
    FlowStatements,
    LogStatements,
    SessionStatements,
    ClientStatements,
    ExaminingStatements,
):
    """The view and transaction that the desk's work gets."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Use `db`; its lane begins and commits."""
        self._db = db
        self.forget()

    def forget(self) -> None:
        """Forget remembered values, because another transaction has begun or changes were undone."""
        self._mark = None
        self._head = None
        self._stopped = None

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """See `Transaction.execute`."""
        if control := _CONTROL.match(statement):
            raise Invalid(f"An action cannot use {control[1].upper()}: it already runs inside a transaction.")
        self.forget()
        return self._db.execute(statement, values).fetchall()
