"""Messages about a payload say what was expected and where, and never what was sent."""

from collections.abc import Iterator
from typing import Any

import pytest
from impatient import seconds

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.schemas import check_against, satisfies

CANARY = "canary-4711"

MISTAKES: list[tuple[JsonObject, Any, str]] = [
    ({"type": "string"}, 4711, "x must be text."),
    ({"type": ["number", "null"]}, CANARY, "x must be a number or null."),
    ({"type": "object"}, CANARY, "x must be an object."),
    ({"properties": {"a": {"type": "number"}}}, {"a": CANARY}, "x.a must be a number."),
    ({"properties": {"a": {"items": {"type": "number"}}}}, {"a": [1, CANARY]}, "x.a[1] must be a number."),
    ({"required": ["a", "b"]}, {"a": CANARY}, "x lacks the field 'b'."),
    ({"additionalProperties": False}, {CANARY: CANARY}, "x has a field that is not allowed here."),
    ({"unevaluatedProperties": False}, {CANARY: CANARY}, "x has a field that is not allowed here."),
    ({"enum": ["a", 2]}, CANARY, "x must be one of 'a', 2."),
    ({"const": "a"}, CANARY, "x must be 'a'."),
    ({"format": "email"}, CANARY, "x must be an e-mail address."),
    ({"format": "ipv4"}, CANARY, "x must be in the format ipv4."),
    ({"minimum": 5}, 4.711, "x must be at least 5."),
    ({"exclusiveMinimum": 5}, 4.711, "x must be greater than 5."),
    ({"maximum": 5}, 4711, "x must be at most 5."),
    ({"exclusiveMaximum": 5}, 4711, "x must be less than 5."),
    ({"minLength": 1}, "", "x must not be empty."),
    ({"minLength": 50}, CANARY, "x must have at least 50 characters."),
    ({"maxLength": 5}, CANARY, "x must have at most 5 characters."),
    ({"minItems": 2}, [CANARY], "x must have at least 2 items."),
    ({"maxItems": 1}, [CANARY, 1], "x must have at most 1 items."),
    ({"uniqueItems": True}, [CANARY, CANARY], "x must not list anything twice."),
    ({"pattern": "^[A-Z]{3}$"}, CANARY, "x must match the pattern ^[A-Z]{3}$."),
    ({"anyOf": [{"type": "number"}, {"type": "null"}]}, CANARY, "x must be one of the options that the schema allows."),
    ({"oneOf": [{"const": "a"}]}, CANARY, "x must be one of the options that the schema allows."),
    ({"multipleOf": 5}, 4711, "x does not satisfy the schema's 'multipleOf'."),
    ({"not": {"type": "string"}}, CANARY, "x does not satisfy the schema's 'not'."),
    ({"contains": {"const": 1}}, [CANARY], "x does not satisfy the schema's 'contains'."),
]


@pytest.mark.parametrize(("schema", "value", "message"), MISTAKES, ids=str)
def test_a_mistake_is_told_by_what_was_expected_and_never_by_what_was_sent(
    schema: JsonObject, value: Any, message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        check_against(schema, value, what="x")
    assert str(refused.value) == message
    assert CANARY not in str(refused.value)
    assert "4711" not in str(refused.value)


def test_each_missing_field_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        check_against({"required": ["a", "b", "c"]}, {"b": 1}, what="payload")
    assert str(refused.value) == "payload lacks the field 'a'; payload lacks the field 'c'."


def test_after_five_mistakes_the_rest_is_counted() -> None:
    schema = {"items": {"type": "number"}}
    with pytest.raises(Invalid) as refused:
        check_against(schema, [CANARY] * 12, what="payload")
    assert str(refused.value).count("must be a number") == 5
    assert str(refused.value).endswith("; and 7 more.")


def test_t37_of_very_many_mistakes_no_more_than_a_thousand_are_looked_for() -> None:
    read = 0

    class Items(list[Any]):
        def __getitem__(self, place: Any) -> Any:
            nonlocal read
            read += 1
            return super().__getitem__(place)

        def __iter__(self) -> Iterator[Any]:
            nonlocal read
            for item in super().__iter__():
                read += 1
                yield item

    with pytest.raises(Invalid, match=r"; and at least 995 more\.$"):
        check_against({"items": {"type": "number"}}, Items([CANARY] * 30_000), what="payload")
    assert read < 2_000


@pytest.mark.parametrize(
    ("items", "unique"),
    [
        ([1, 1.0], False),
        ([1, True], True),
        ([0, False, "0", None], True),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1.0}], False),
        ([[1], [True], [[1]]], True),
        (["é", "e\u0301"], True),
    ],
)
def test_items_are_the_same_where_json_says_so(items: list[object], unique: bool) -> None:
    assert satisfies({"uniqueItems": True}, items) is unique
    assert satisfies({"uniqueItems": False}, items)


def test_t37_a_long_list_of_different_objects_stalls_nothing() -> None:
    with seconds(10):
        assert satisfies({"uniqueItems": True}, [{"a": number} for number in range(8_000)])
        assert satisfies({"uniqueItems": True}, [*range(12_000), "a"])


def test_what_fits_passes() -> None:
    check_against({"type": "object", "required": ["a"]}, {"a": CANARY}, what="payload")


def test_equal_schemas_are_told_apart_by_what_they_are_now() -> None:
    """Validators are kept by the schema's identity, so that another schema never gets a former one's validator."""
    for expected in ("number", "boolean", "array"):
        with pytest.raises(Invalid):
            check_against({"type": expected}, CANARY, what="x")
    check_against({"type": "string"}, CANARY, what="x")
