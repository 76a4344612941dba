"""The effects of the built-in kinds, and the tables in which they keep what they did."""

from mcp_hitl.desk.transactions import counter_table, expense_table
from mcp_hitl.desk.transactions.effects import Effects, OwnTable
from mcp_hitl.domain.evidence.verification import check_expense
from mcp_hitl.domain.policy.kinds import COUNTER, EXPENSE

EXPENSES = OwnTable(
    row="an expense", rows=expense_table.expenses, check=check_expense, erase=expense_table.erase_expense
)
EFFECTS = Effects(on_approval={COUNTER.name: counter_table.increase}, tables={EXPENSE.name: EXPENSES})
