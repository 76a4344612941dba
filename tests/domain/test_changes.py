"""What an edit changed is told completely: what is not told, nobody has agreed to."""

import pytest

from mcp_hitl.domain.values.canonical import JsonObject, canonical
from mcp_hitl.domain.values.changes import changes
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.present.approval_views import differences, revision_wanted

DIFFERENT: list[tuple[JsonObject, JsonObject, str]] = [
    ({"a": 1}, {"a": 2}, "a: 1 → 2"),
    ({"a": 1}, {"a": True}, "a: 1 → true"),
    ({"a": [1]}, {"a": [True]}, "a: [1] → [true]"),
    ({"a": [{"b": 0}]}, {"a": [{"b": False}]}, 'a: [{"b": 0}] → [{"b": false}]'),
    ({"a": [1]}, {"a": [1, 1]}, "a: [1] → [1, 1]"),
    ({"a": {"b": 1}}, {"a": {"b": "1"}}, 'a.b: 1 → "1"'),
    ({"a": {}}, {}, "a: {} → null"),
    ({}, {"a": {}}, "a: null → {}"),
    ({}, {"a": None}, "a: null, where nothing was, or nothing, where null was"),
    ({"a": None}, {}, "a: null, where nothing was, or nothing, where null was"),
    ({"a": [{"b": None}]}, {"a": [{}]}, 'a: [{"b": null}] → [{}]'),
    ({"a": [{"b": None}]}, {"a": [{"c": None}]}, 'a: [{"b": null}] → [{"c": null}]'),
]
SAME: list[tuple[JsonObject, JsonObject]] = [
    ({"a": 1}, {"a": 1.0}),
    ({"a": [1], "b": None}, {"b": None, "a": [1.0]}),
    ({}, {}),
]


@pytest.mark.parametrize(("before", "after", "told"), DIFFERENT, ids=str)
def test_every_difference_of_two_payloads_is_told(before: JsonObject, after: JsonObject, told: str) -> None:
    assert canonical(before, what="payload") != canonical(after, what="payload")
    assert differences(before, after) == told


@pytest.mark.parametrize(("one", "other"), SAME, ids=str)
def test_two_ways_to_write_one_payload_are_no_difference(one: JsonObject, other: JsonObject) -> None:
    assert canonical(one, what="payload") == canonical(other, what="payload")
    assert changes(one, other) == []
    with pytest.raises(Invalid, match="nothing to edit"):
        revision_wanted(one, other)
