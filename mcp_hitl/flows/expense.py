"""What `submit-expense` sets going: validate, wait for people, reimburse once."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from mcp_hitl.desk.flow import Flow, NotApproved, Step
from mcp_hitl.domain.approval import Status
from mcp_hitl.domain.kinds import EXPENSE
from mcp_hitl.domain.money import as_json, in_digits, money, number
from mcp_hitl.store.transaction import Transaction


def _decimal(value: Any) -> Any:
    return number(value, "amount") if isinstance(value, int | float) and not isinstance(value, bool) else value


Amount = Annotated[Decimal, BeforeValidator(_decimal), PlainSerializer(as_json)]
"""A JSON number outside, a `Decimal` inside."""


class Expense(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Amount
    currency: str
    description: str
    category: str | None = None


class Reimbursement(BaseModel):
    """What was done: one row in `expenses`."""

    model_config = ConfigDict(frozen=True)

    amount: Amount
    currency: str


class ExpenseFlow(Flow[Expense, Reimbursement]):
    """Validate, report, wait, process, complete."""

    kind = EXPENSE.name

    async def run(self, value: Expense, step: Step) -> Reimbursement:
        """Reimburse what was approved, which may differ from what was asked for."""
        validated = await step.do("validate", validate, value)
        amount = f"{in_digits(as_json(validated.amount), validated.currency)} {validated.currency}"
        await step.report("approval", f"Awaiting approval for {amount}")
        approval = await step.wait_for_approval("manager", payload=validated.model_dump(mode="json", exclude_none=True))
        if approval.status is not Status.APPROVED:
            raise NotApproved(approval)
        return await step.write("process", reimburse, approval.id, approval.payload)


async def validate(expense: Expense) -> Expense:
    """Check the amount against its currency.

    Raises:
        Invalid: it has more decimals than the currency.
    """
    money(as_json(expense.amount), expense.currency, "amount")
    return expense


def reimburse(tx: Transaction, approval_id: str, payload: dict[str, Any]) -> Reimbursement:
    """Write the one row that stands for the payment."""
    amount = number(payload["amount"], "amount")
    tx.add_expense(approval_id, amount, payload)
    return Reimbursement(amount=amount, currency=payload["currency"])
