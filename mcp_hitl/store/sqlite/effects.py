"""The statements that carry out approved actions."""

import sqlite3
from decimal import Context, Decimal
from typing import Any

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.money import as_json
from mcp_hitl.store.effects import EffectChanges

_EXACT = Context(prec=1_000)
"""Enough digits for the exact sum of any two doubles."""


class SqliteEffects(EffectChanges):
    """`EffectChanges` on SQLite."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Use `db`."""
        self._db = db

    def counter(self) -> Decimal:
        found: Any = self._db.execute("SELECT value FROM counter").fetchone()
        return Decimal(found[0])

    def expenses(self) -> dict[str, JsonObject]:
        names = ("amount", "currency", "description", "category")
        found = self._db.execute(f"SELECT approval, {', '.join(names)} FROM expenses")
        return {approval: dict(zip(names, paid, strict=True)) for approval, *paid in found}

    def increase_counter(self, amount: Decimal) -> Decimal:
        """The value is stored as text, since binary fractions would drift."""
        value = _EXACT.add(self.counter(), amount)
        self._db.execute("UPDATE counter SET value = ?", (str(value),))
        return value

    def add_expense(self, approval_id: str, amount: Decimal, expense: JsonObject) -> None:
        self._db.execute(
            "INSERT INTO expenses (approval, amount, currency, description, category) VALUES (?, ?, ?, ?, ?)",
            (
                approval_id,
                str(as_json(amount)),
                expense["currency"],
                expense["description"],
                expense.get("category"),
            ),
        )
