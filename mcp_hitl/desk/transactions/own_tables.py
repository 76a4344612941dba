"""The tables in which built-in kinds keep what they did. The evidence compares them with the log, and erases them."""

from collections.abc import Callable
from dataclasses import dataclass

from mcp_hitl.desk.transactions.expense_table import erase_expense, expenses
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.evidence.verification import check_expense
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTable:
    """A table with at most one row for each approval."""

    row: str
    """What one row is, with its article."""
    rows: Callable[[View], dict[str, JsonObject]]
    """Returns the rows, by approval."""
    check: Callable[[Approval, JsonObject], None]
    """Compares a row with its approval; raises `Broken` if it is not what was approved."""
    erase: Callable[[Transaction, str], None]
    """Erases the contents of an approval's row, if it has one."""


OWN_TABLES = (OwnTable(row="an expense", rows=expenses, check=check_expense, erase=erase_expense),)
