"""The effects of the built-in kinds, and the tables in which they keep what they did."""

from mcp_hitl.desk.transactions.kind_effects import Effects, OwnTable
from mcp_hitl.domain.policy.kinds import COUNTER, EXPENSE
from mcp_hitl.flows.counter import increase
from mcp_hitl.flows.expense_table import check_expense, erase_expense, expenses

EXPENSES = OwnTable(row="an expense", rows=expenses, check=check_expense, erase=erase_expense)
EFFECTS = Effects(on_approval={COUNTER.name: increase}, tables={EXPENSE.name: EXPENSES})
