"""The table `expenses`: one row for each approved expense that was reimbursed."""

from decimal import Decimal

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.money import as_json
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

_COLUMNS = ("amount", "currency", "description", "category")


def add_expense(tx: Transaction, approval_id: str, amount: Decimal, expense: JsonObject) -> None:
    """Record the reimbursement of an approved expense; a second one for the same approval fails."""
    tx.execute(
        f"INSERT INTO expenses (approval, {', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?)",
        (approval_id, str(as_json(amount)), expense["currency"], expense["description"], expense.get("category")),
    )


def expenses(view: View) -> dict[str, JsonObject]:
    """Return the reimbursements, by approval: amount, currency, description, category."""
    found = view.execute(f"SELECT approval, {', '.join(_COLUMNS)} FROM expenses")
    return {str(approval): dict(zip(_COLUMNS, paid, strict=True)) for approval, *paid in found}


def erase_expense(tx: Transaction, approval_id: str) -> None:
    """Erase what was written about a reimbursement; its amount stays."""
    tx.execute("UPDATE expenses SET description = '(erased)', category = NULL WHERE approval = ?", (approval_id,))
