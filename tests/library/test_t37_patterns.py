"""Patterns of what a gated function takes: the same everywhere, and checked in linear time."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field

from mcp_hitl import Approvals, Flow, Kind, Step
from mcp_hitl.domain.values.errors import Invalid

pytestmark = pytest.mark.anyio

POLICY = '[kinds.pay]\nschema = { properties = { iban = { type = "string" } }, required = ["iban"] }\n'


@pytest.mark.parametrize("policy", [None, POLICY])
async def test_t02_a_digit_in_a_functions_pattern_is_an_ascii_digit_whatever_the_policy_says(
    tmp_path: Path, policy: str | None
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(policy or "")
    approvals = Approvals(tmp_path / "hitl.db", policy=file if policy else None)

    @approvals.gate(title="Pay {iban}")
    async def pay(iban: Annotated[str, Field(pattern=r"^DE\d+$")]) -> None: ...

    async with approvals.running():
        assert (await pay("DE1234"))["status"] == "pending"
        with pytest.raises(Invalid, match=r"iban must match the pattern"):
            await pay("DE١٢٣٤")


async def test_a_function_can_take_a_decimal_as_a_number_or_text(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "hitl.db")

    @approvals.gate(title="Pay {amount}")
    async def pay(amount: Annotated[Decimal, Field(gt=0, max_digits=5, decimal_places=2)]) -> None: ...

    async with approvals.running():
        assert (await pay(Decimal("4.50")))["payload"] == {"amount": "4.50"}
        with pytest.raises(Invalid):
            await pay(Decimal("-1"))


class Slow(BaseModel):
    """What Python's `re` matches when it comes in, which no server can wait for."""

    model_config = ConfigDict(regex_engine="python-re")

    name: str = Field(pattern=r"^(?=(a+)+$)")


async def test_t37_a_pattern_that_re2_cannot_match_is_refused_before_the_program_runs(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path / "hitl.db")
    with pytest.raises(Invalid, match="pattern must be a regular expression that RE2 supports: look-around"):

        @approvals.gate(title="Greet")
        async def greet(whom: Slow) -> None: ...  # pyright: ignore[reportUnusedFunction]

    class Work(Flow[object, None]):
        kind = "work"

        async def run(self, value: object, step: Step) -> None: ...

    kind = Kind(name="work", schema={"type": "object", "patternProperties": {r"(.)\1": True}})
    with pytest.raises(Invalid, match="patternProperties must be a regular expression that RE2 supports"):
        approvals.add(Work, kind)
