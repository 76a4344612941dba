"""Effects that happen inside the transaction that approves: once, or not at all."""

from collections.abc import Callable, Mapping
from datetime import datetime

from mcp_hitl.desk.transactions.record import record
from mcp_hitl.domain.approvals.approval import Approval, Outcome, OutcomeState
from mcp_hitl.domain.evidence.events import result_of
from mcp_hitl.domain.policy.kinds import COUNTER
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.money import as_json, check_digits, number
from mcp_hitl.store.transaction import Transaction

MAX_COUNTER = 10**15
"""The largest value; every JSON reader keeps such an integer exact."""

Effect = Callable[[Transaction, Approval, JsonObject | None, datetime], None]


def increase_counter(tx: Transaction, approval: Approval, answer: JsonObject | None, now: datetime) -> None:
    """Increase the counter by the number that the person entered, and store the result as the outcome.

    Raises:
        Invalid: the sum would have more digits than a JSON number keeps.
    """
    amount = number((answer or {})["amount"], "amount")
    value = tx.effects.increase_counter(amount)
    if abs(value) > MAX_COUNTER:
        raise Invalid(f"The counter cannot go beyond ±{MAX_COUNTER:,}.")
    check_digits(value, "the counter")
    result: JsonObject = {"counter": as_json(value), "increased_by": as_json(amount)}
    outcome = Outcome(OutcomeState.SUCCEEDED, result)
    tx.approvals.set_outcome(approval.id, outcome)
    record(tx, approval, result_of(outcome), now)


EFFECTS: Mapping[str, Effect] = {COUNTER.name: increase_counter}
"""The effect of each kind that has one."""
