"""The counter. Its value is stored as text, since binary fractions would drift."""

from decimal import Context, Decimal

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.money import as_json, check_digits, number
from mcp_hitl.store.statement import Statement
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

MAX_COUNTER = 10**15
"""The largest value; every JSON reader keeps such an integer exact."""
_EXACT = Context(prec=1_000)
"""Enough digits for the exact sum of any two doubles."""
_VALUE = "SELECT value FROM counter"
_LOCKED = Statement(sqlite=_VALUE, postgres=f"{_VALUE} FOR UPDATE")


def value_of(view: View) -> Decimal:
    """Return the counter's value."""
    [(value,)] = view.execute(_VALUE)
    return Decimal(str(value))


def add(tx: Transaction, amount: Decimal) -> Decimal:
    """Add to the counter, and return its new value."""
    [(before,)] = tx.execute(_LOCKED)
    value = _EXACT.add(Decimal(str(before)), amount)
    tx.execute("UPDATE counter SET value = ?", (str(value),))
    return value


def increase(tx: Transaction, approval: Approval) -> JsonObject:
    """Increase the counter by the number that the person entered, and return its new value.

    Raises:
        Invalid: the sum would have more digits than a JSON number keeps, or a rule approved, which enters no number.
    """
    if approval.answer is None:
        raise Invalid("The counter needs the number that a person enters, so no rule can approve it.")
    amount = number(approval.answer["amount"], "amount")
    value = add(tx, amount)
    if abs(value) > MAX_COUNTER:
        raise Invalid(f"The counter cannot go beyond ±{MAX_COUNTER:,}.")
    check_digits(value, "the counter")
    return {"counter": as_json(value), "increased_by": as_json(amount)}
