"""The table `expenses`: one row for each approved expense that was reimbursed."""

from decimal import Decimal

from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.evidence.ledger import Broken
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.money import as_json, number
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

_COLUMNS = ("amount", "currency", "description", "category")


def add_expense(tx: Transaction, approval_id: str, amount: Decimal, expense: JsonObject) -> None:
    """Record the reimbursement of an approved expense; a second one for the same approval fails."""
    tx.execute(
        f"INSERT INTO expenses (approval, {', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?)",
        (approval_id, str(as_json(amount)), expense["currency"], expense["description"], expense.get("category")),
    )


def expenses(view: View, after: str = "", last: str | None = None) -> dict[str, JsonObject]:
    """Return the reimbursements of the approvals after the id `after`, up to `last` if that is given; by approval.

    Amount, currency, description, category.
    """
    found = view.execute(
        f"SELECT approval, {', '.join(_COLUMNS)} FROM expenses WHERE approval > ?"
        + ("" if last is None else " AND approval <= ?"),
        (after,) if last is None else (after, last),
    )
    return {str(approval): dict(zip(_COLUMNS, paid, strict=True)) for approval, *paid in found}


def erase_expense(tx: Transaction, approval_id: str) -> None:
    """Erase what was written about a reimbursement; its amount stays."""
    tx.execute("UPDATE expenses SET description = '(erased)', category = NULL WHERE approval = ?", (approval_id,))


def check_expense(approval: Approval, paid: JsonObject) -> None:
    """Compare a stored reimbursement with its approval.

    Raises:
        Broken: the approval was not approved, or differs from the reimbursement.
    """
    if approval.status is not Status.APPROVED:
        raise Broken(f"an expense is stored for {approval.id}, which is {approval.status.value}")
    if approval.erased_at is not None:
        expected = paid | {"description": "(erased)", "category": None}  # nothing is left to compare the rest with
    else:
        expected = {name: approval.payload.get(name) for name in paid}
        if isinstance(amount := expected["amount"], int | float):
            expected["amount"] = str(as_json(number(amount, "amount")))
    if paid != expected:
        raise Broken(f"the expense stored for {approval.id} is not the one that was approved")
