"""The page about policies says what is true."""

import pytest
from docs.pages import PEOPLE, ROOT, blocks

from mcp_hitl.config.mistakes import InvalidPolicy
from mcp_hitl.config.policy_file import parse

NAME = "docs/reference/policy-file.md"
PAGE = (ROOT / NAME).read_text(encoding="utf-8")


def test_the_mistakes_on_the_page_are_the_mistakes() -> None:
    with pytest.raises(InvalidPolicy) as refused:
        parse(
            PEOPLE + "[kinds.expense]\ntimeuot = '1 day'\nstages = [{ approvers = ['group:finance'], quorum = 3 }]\n",
            source="policy.toml",
        )
    assert blocks(NAME, "text") == [f"mcp-hitl: {refused.value}\n"]


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
