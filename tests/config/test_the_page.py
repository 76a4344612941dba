"""The page about policies says what is true."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from mcp_hitl.cli.policy import policy
from mcp_hitl.config.mistakes import InvalidPolicy
from mcp_hitl.config.policy_file import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
PEOPLE = '[people]\nfinance = ["ana", "bo"]\nmanagers = ["cy"]\n'


def blocks(language: str) -> list[str]:
    return [part.split("\n```")[0] for part in PAGE.split(f"```{language}\n")[1:]]


@pytest.mark.parametrize("block", blocks("toml"))
def test_each_piece_of_a_policy_on_the_page_is_correct(block: str) -> None:
    schema = "" if "kinds.expense" in block else "[kinds.payment]\nschema = {}\n"
    parse(PEOPLE + schema + block)
    assert tomllib.loads(block)


def test_the_answer_on_the_page_is_the_answer() -> None:
    (block,) = blocks("console")
    payload = block.split("'")[1]
    config = str(ROOT / "examples" / "policies" / "expenses-and-payments.toml")
    result = CliRunner().invoke(policy, ["explain", "expense", "-", "--config", config], input=payload)
    assert json.loads(payload)["amount"] == 6000
    assert result.stdout == block.split("expenses-and-payments.toml\n")[1] + "\n"


def test_the_mistakes_on_the_page_are_the_mistakes() -> None:
    with pytest.raises(InvalidPolicy) as refused:
        parse(
            PEOPLE + "[kinds.expense]\ntimeuot = '1 day'\nstages = [{ approvers = ['group:finance'], quorum = 3 }]\n",
            source="policy.toml",
        )
    assert blocks("text") == [f"mcp-hitl: {refused.value}"]


def test_every_key_is_on_the_page() -> None:
    with pytest.raises(InvalidPolicy) as refused:
        parse(
            """
            zzzzzz = 1
            kinds.action.zzzzzz = 1
            kinds.action.limits.zzzzzz = 1
            kinds.action.stages = [{ approvers = ["x"], zzzzzz = 1, escalate = [{ after = "1 day", to = ["y"], zzzzzz = 1 }] }]
            kinds.action.rules = [{ when = {}, decide = "reject", zzzzzz = 1 }]
            """  # noqa: E501
        )
    keys = {key for each in refused.value.mistakes for key in each.expected.split("known are ")[1].split(", ")}
    assert len(refused.value.mistakes) == 6
    assert {key for key in keys if f"`{key}`" not in PAGE and f"[{key}" not in PAGE and f" {key} " not in PAGE} == set()
