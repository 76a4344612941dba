"""What an edit changed is told completely: what is not told, nobody has agreed to."""

import pytest

from mcp_hitl.domain.values.canonical import JsonObject, canonical
from mcp_hitl.domain.values.changes import changes
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.present.differences import differences, revision_wanted

DIFFERENT: list[tuple[JsonObject, JsonObject, str]] = [
    ({"a": 1}, {"a": 2}, "a: 1 → 2"),
    ({"a": 1}, {"a": True}, "a: 1 → true"),
    ({"a": [1]}, {"a": [True]}, "a: [1] → [true]"),
    ({"a": [{"b": 0}]}, {"a": [{"b": False}]}, 'a: [{"b": 0}] → [{"b": false}]'),
    ({"a": [1]}, {"a": [1, 1]}, "a: [1] → [1, 1]"),
    ({"a": {"b": 1}}, {"a": {"b": "1"}}, 'a.b: 1 → "1"'),
    ({"a": {}}, {}, "a: {} → (nothing)"),
    ({}, {"a": {}}, "a: (nothing) → {}"),
    ({}, {"a": None}, "a: (nothing) → null"),
    ({"a": None}, {}, "a: null → (nothing)"),
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
    assert [f"{one.name}: {one.before} → {one.after}" for one in differences(before, after)] == [told]


@pytest.mark.parametrize(("one", "other"), SAME, ids=str)
def test_two_ways_to_write_one_payload_are_no_difference(one: JsonObject, other: JsonObject) -> None:
    assert canonical(one, what="payload") == canonical(other, what="payload")
    assert changes(one, other) == []
    with pytest.raises(Invalid, match="nothing to edit"):
        revision_wanted(one, other)


def test_t25_no_name_of_a_field_can_pass_for_a_value() -> None:
    forged = "amount: 5000 → 5, note"
    told = revision_wanted({forged: 1, "amount": 5, "a.b": 1}, {forged: 2, "amount": 5000, "a.b": 2})
    assert told.split("\n\n")[0].split("\n") == [
        '    "amount: 5000 → 5, note"',
        "      before: 1",
        "      after:  2",
        "    amount",
        "      before: 5",
        "      after:  5000",
        '    "a.b"',
        "      before: 1",
        "      after:  2",
    ]


def test_t25_texts_that_look_the_same_are_told_apart_in_a_difference() -> None:
    [one] = differences({"to": "Jos\u00e9"}, {"to": "Jose\u0301"})
    assert (one.before, one.after) == ('"Jos\\u00e9"', '"Jose\\u0301"')
    assert [one.name for one in differences({"e\u0301": 1, "\u00e9": 1}, {})] == ['"e\\u0301"', "\u00e9"]
