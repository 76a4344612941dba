"""The flow behind `submit-expense`: validate, wait for people, reimburse once."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.policy.kinds import EXPENSE
from mcp_hitl.domain.values.money import as_json, in_digits, money, number
from mcp_hitl.engine.flow import Flow, Step
from mcp_hitl.engine.run_ends import NotApproved
from mcp_hitl.flows.expense_table import add_expense
from mcp_hitl.store.transaction import Transaction


def _decimal(value: Any) -> Any:
    return number(value, "amount") if isinstance(value, int | float) and not isinstance(value, bool) else value


Amount = Annotated[Decimal, BeforeValidator(_decimal), PlainSerializer(as_json)]
"""A JSON number outside the program, a `Decimal` inside."""


class Expense(BaseModel):
    """The requested expense."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Amount
    currency: str
    description: str
    category: str | None = None


class Reimbursement(BaseModel):
    """The completed reimbursement: one row in `expenses`."""

    model_config = ConfigDict(frozen=True)

    amount: Amount
    currency: str


class ExpenseFlow(Flow[Expense, Reimbursement]):
    """Validate the expense, report progress, wait for approval, reimburse."""

    kind = EXPENSE.name

    async def run(self, value: Expense, step: Step) -> Reimbursement:
        """Reimburse the approved expense, which may differ from the requested one."""
        validated = await step.do("validate", validate, value)
        amount = f"{in_digits(as_json(validated.amount), validated.currency)} {validated.currency}"
        await step.report("approval", f"Awaiting approval for {amount}")
        approval = await step.wait_for_approval("manager", payload=validated.model_dump(mode="json", exclude_none=True))
        if approval.status is not Status.APPROVED:
            raise NotApproved(approval)
        return await step.write("process", reimburse, approval.id, approval.payload)


async def validate(expense: Expense) -> Expense:
    """Return the expense if its amount fits its currency.

    Raises:
        Invalid: the amount has more decimals than the currency.
    """
    money(as_json(expense.amount), expense.currency, "amount")
    return expense


def reimburse(tx: Transaction, approval_id: str, payload: dict[str, Any]) -> Reimbursement:
    """Write the one row that represents the payment, and return what was paid."""
    amount = number(payload["amount"], "amount")
    add_expense(tx, approval_id, amount, payload)
    return Reimbursement(amount=amount, currency=payload["currency"])
