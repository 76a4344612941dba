"""Messages about a payload say what was expected and where, and never what was sent."""

from typing import Any

import pytest

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.schemas import check_against

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


def test_what_fits_passes() -> None:
    check_against({"type": "object", "required": ["a"]}, {"a": CANARY}, what="payload")


def test_equal_schemas_are_told_apart_by_what_they_are_now() -> None:
    """Validators are kept by the schema's identity, so that another schema never gets a former one's validator."""
    for expected in ("number", "boolean", "array"):
        with pytest.raises(Invalid):
            check_against({"type": expected}, CANARY, what="x")
    check_against({"type": "string"}, CANARY, what="x")
