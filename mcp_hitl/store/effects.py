"""Reads what the built-in kinds keep; carries out the built-in kinds' actions."""

from decimal import Decimal
from typing import Protocol

from mcp_hitl.domain.values.canonical import JsonObject


class EffectReads(Protocol):
    """Reads what the built-in kinds keep."""

    def counter(self) -> Decimal:
        """Return the counter's value."""
        ...

    def expenses(self) -> dict[str, JsonObject]:
        """Return the reimbursements, by approval: amount, currency, description, category."""
        ...


class EffectChanges(EffectReads, Protocol):
    """Carries out the built-in kinds' actions."""

    def increase_counter(self, amount: Decimal) -> Decimal:
        """Add to the counter, and return its new value."""
        ...

    def add_expense(self, approval_id: str, amount: Decimal, expense: JsonObject) -> None:
        """Record the reimbursement of an approved expense; a second one for the same approval fails."""
        ...
