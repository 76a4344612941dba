"""A flow with each kind of step. What it does outside the database, it notes in a file that the test reads."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from mcp_hitl import Flow, NotApproved, Status, Step
from mcp_hitl.store.transaction import Transaction

NOTES = "SOAK_NOTES"
"""The variable that names the file."""


class OrderFlow(Flow[dict[str, Any], str]):
    """Price, ask, book, pay, rest, ship."""

    kind = "order"

    async def run(self, value: dict[str, Any], step: Step) -> str:
        """Go on if it is approved."""
        await step.do("price", price, value["n"])
        approval = await step.wait_for_approval("order", payload=value)
        if approval.status is not Status.APPROVED:
            raise NotApproved(approval)
        await step.write("book", book, value["n"])
        await step.do("pay", pay, value["n"], at_most_once=True)
        await step.sleep("rest", timedelta(milliseconds=100))
        await step.do("ship", ship, value["n"])
        await step.report("shipped", "It is on its way")
        return "delivered"


def price(n: int, idempotency_key: str) -> None:
    """At least once."""
    _note(f"price {n} {idempotency_key}")


async def pay(n: int, idempotency_key: str) -> None:
    """At most once."""
    _note(f"pay {n} {idempotency_key}")


def ship(n: int, idempotency_key: str) -> None:
    """At least once."""
    _note(f"ship {n} {idempotency_key}")


def book(tx: Transaction, n: int) -> None:
    """Exactly once."""
    tx.execute("INSERT INTO booked VALUES (?)", (n,))


def _note(what: str) -> None:
    with Path(os.environ[NOTES]).open("a") as notes:
        notes.write(f"{what}\n")
