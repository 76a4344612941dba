"""The conversion of rows that every store shares."""

import pytest
from samples import an_approval

from mcp_hitl.domain.values.errors import Unreadable
from mcp_hitl.store import rows


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "whatever"),
        ("payload", "no JSON"),
        ("payload", "[" * 100_000),
        ("requested_at", 9_000_000_000_000_000),
        ("policy", "{"),
        ("policy", "{}"),
        ("outcome", "[]"),
        ("outcome", '{"state": "lost", "result": null, "error": null}'),
        ("escalated", "[[]]"),
        ("escalated", "5"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_by_one_error(column: str, value: object) -> None:
    names: list[str] = [*rows.APPROVAL.split(", ")]
    row = list(rows.approval_row(an_approval()))
    assert rows.approval_of(row, (), (), ()) == an_approval()
    row[names.index(column)] = value
    with pytest.raises(Unreadable):
        rows.approval_of(row, (), (), ())


def test_a_policy_without_stages_cannot_be_read() -> None:
    row = [
        text.replace('"stages": [{"approvers": ["local"], "quorum": 1, "escalate": []}]', '"stages": []')
        if isinstance(text, str)
        else text
        for text in rows.approval_row(an_approval())
    ]
    with pytest.raises(Unreadable) as refused:
        rows.approval_of(row, (), (), ())
    assert "at least one stage" in refused.value.why
