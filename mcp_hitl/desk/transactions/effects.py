"""Effects that happen inside the transaction that approves: once, or not at all."""

from collections.abc import Callable, Mapping

from mcp_hitl.desk.transactions.counter_table import increase
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.policy.kinds import COUNTER
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.store.transaction import Transaction

Effect = Callable[[Transaction, Approval], JsonObject]
"""Acts in the transaction that approves. It gets the approval with its answer, and returns the result."""

EFFECTS: Mapping[str, Effect] = {COUNTER.name: increase}
"""The effect of each kind that has one."""
