"""Patterns: matched by RE2 in linear time, and in JSON Schema's dialect, wherever a schema has one."""

from typing import Any

import pytest
from impatient import seconds

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.schemas import check_against, satisfies

SLOW = "^(a+)+$"
"""Takes Python's `re` longer than a life on 60 letters that do not match."""
ALMOST = "a" * 60 + "!"
ARABIC = "DE١٢٣٤"
"""The digits are no ASCII digits; Python's `\\d` matches them."""

PLACES: dict[str, tuple[Any, Any]] = {
    "pattern": ({"pattern": "{}"}, "{}"),
    "patternProperties": ({"not": {"patternProperties": {"{}": False}}}, {"{}": 1}),
    "additionalProperties": ({"patternProperties": {"{}": True}, "additionalProperties": False}, {"{}": 1}),
    "propertyNames": ({"propertyNames": {"pattern": "{}"}}, {"{}": 1}),
    "a field": ({"properties": {"x": {"pattern": "{}"}}}, {"x": "{}"}),
    "not": ({"not": {"not": {"pattern": "{}"}}}, "{}"),
}


def put(shape: Any, text: str) -> Any:
    """The shape with the text in each of its places."""
    if isinstance(shape, dict):
        return {put(name, text): put(value, text) for name, value in shape.items()}  # pyright: ignore[reportUnknownVariableType]
    return text if shape == "{}" else shape


def matched(place: str, pattern: str, text: str) -> bool:
    """Whether the pattern matches the text, in this place of a schema."""
    schema, value = PLACES[place]
    return satisfies(put(schema, pattern), put(value, text))


@pytest.mark.parametrize("place", PLACES)
def test_t37_no_pattern_stalls_the_desk_wherever_it_stands(place: str) -> None:
    with seconds(10):
        assert not matched(place, SLOW, ALMOST)
    assert matched(place, SLOW, "aaa")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        (r"^DE\d+$", "DE1234", [ARABIC, "DE1234\n"]),
        (r"^\w+$", "abc_1", ["ábc", "аbc"]),
        (r"^a\sb$", "a b", ["a\u2003b"]),
        (r"^pay\b", "payé", ["pays"]),
    ],
)
def test_t37_classes_of_letters_are_those_of_ascii_in_every_place(
    place: str, pattern: str, fits: str, others: list[str]
) -> None:
    assert matched(place, pattern, fits)
    for other in others:
        assert not matched(place, pattern, other)


@pytest.mark.parametrize("pattern", [r"^(?!DE)\d+$", r"^(a)\1$", r"^(?=(a+)+$)a*b"])
@pytest.mark.parametrize("place", PLACES)
def test_t37_what_re2_cannot_match_is_refused_and_never_taken_for_a_match_or_none(place: str, pattern: str) -> None:
    with seconds(10), pytest.raises(Invalid, match="RE2"):
        matched(place, pattern, ALMOST)


@pytest.mark.parametrize(
    ("name", "fits", "others"),
    [
        ("uuid", "11111111-1111-1111-1111-111111111111", ["٣1111111-1111-1111-1111-111111111111"]),
        ("uri", "https://x.example", ["https://x.example\n"]),
        ("date-time", "2026-11-22T12:00:00Z", ["2026-11-22T12:00:00Z\n", "٢026-11-22T12:00:00Z"]),
        ("time", "12:00:00Z", ["12:00:00Z\n", "١2:00:00Z"]),
        ("date", "2026-11-22", ["2026-11-2٢", "2026-11-22\n"]),
        ("ipv4", "1.1.1.1", ["1.1.1.١", "1.1.1.1\n"]),
        ("regex", "(" * 900 + "a" + ")" * 900, ["(", r"(a)\1"]),
    ],
)
def test_t02_a_format_takes_what_its_standard_allows_and_nothing_behind_it(
    name: str, fits: str, others: list[str]
) -> None:
    assert satisfies({"format": name}, fits)
    assert [other for other in others if satisfies({"format": name}, other)] == []


def test_what_a_pattern_of_field_names_says_of_their_values_is_checked_and_told_with_its_place() -> None:
    schema: JsonObject = {
        "patternProperties": {"^x-": {"type": "number"}},
        "additionalProperties": {"type": "string"},
    }
    check_against(schema, {"x-a": 1, "b": "c"}, what="payload")
    with pytest.raises(Invalid) as refused:
        check_against(schema, {"x-a": "1", "b": 2}, what="payload")
    assert str(refused.value) == "payload.b must be text; payload.x-a must be a number."
    with pytest.raises(Invalid, match=r"payload has a field that is not allowed here\."):
        check_against(schema | {"additionalProperties": False}, {"y": 1}, what="payload")


def test_fields_that_no_schema_evaluated_cannot_be_told_from_those_that_a_pattern_names() -> None:
    schema: JsonObject = {"allOf": [{"patternProperties": {"^x": True}}], "unevaluatedProperties": False}
    with pytest.raises(Invalid, match="unevaluatedProperties must be additionalProperties in a schema with pattern"):
        check_against(schema, {"x1": 1}, what="payload")
