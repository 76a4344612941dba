"""Forms are the flat JSON Schema of MCP elicitation; everything else is refused when the form is defined."""

from typing import Any
from unittest import mock

import pytest
from pydantic import BaseModel, ConfigDict
from pydantic import Field as PydanticField

from mcp_hitl.domain.policy.client_forms import for_client
from mcp_hitl.domain.policy.form_schema import MAX_FIELDS
from mcp_hitl.domain.policy.forms import (
    FREE_TEXT,
    MAX_ANSWER,
    Choice,
    check_answer,
    define,
    fields_of,
)
from mcp_hitl.domain.values import patterns, schemas
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.patterns import matches


def _form(schema: JsonObject, *, required: bool = True) -> JsonObject:
    return define({"properties": {"field": schema}, "required": ["field"] if required else []})


TITLED = [{"const": "s", "title": "Small"}, {"const": "l", "title": "Large"}]
EVERYTHING_ALLOWED: list[JsonObject] = [
    {"type": "string"},
    {"type": "string", "title": "Name", "description": "Yours", "minLength": 1, "maxLength": 9, "default": "Ana"},
    {"type": "string", "format": "email", "default": "a@example.com"},
    {"type": "string", "format": "uri", "default": "https://example.com/"},
    {"type": "string", "format": "date", "default": "2026-11-22"},
    {"type": "string", "format": "date-time", "default": "2026-11-22T12:00:00Z"},
    {"type": "string", "enum": ["a", "b"], "default": "b"},
    {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]},
    {"type": "string", "oneOf": TITLED, "default": "l"},
    {"type": "number", "title": "N", "description": "D", "minimum": -1.5, "maximum": 9, "default": 0.5},
    {"type": "number", "maximum": -5},
    {"type": "integer", "minimum": 0, "maximum": 9, "default": 3},
    {"type": "boolean", "title": "B", "description": "D", "default": False},
    {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "minItems": 1, "maxItems": 2, "default": ["a"]},
    {"type": "array", "title": "T", "description": "D", "items": {"enum": ["a"]}},
    {"type": "array", "items": {"anyOf": TITLED}, "default": ["s", "l"]},
]


@pytest.mark.parametrize("schema", EVERYTHING_ALLOWED, ids=str)
def test_every_keyword_that_the_specification_allows_is_taken(schema: JsonObject) -> None:
    assert _form(schema) == {"type": "object", "properties": {"field": schema}, "required": ["field"]}


OUTSIDE: list[tuple[Any, str]] = [
    ("text", "must be a JSON Schema object"),
    (None, "must be a JSON Schema object"),
    ({}, "must have a type of"),
    ({"type": "object", "properties": {}}, "must have a type of"),
    ({"type": "null"}, "must have a type of"),
    ({"type": ["string", "null"]}, "must have a type of"),
    ({"$ref": "#/x"}, "must have a type of"),
    ({"type": "string", "const": "a"}, "of type string may have only"),
    ({"type": "string", "minimum": 1}, "of type string may have only"),
    ({"type": "number", "multipleOf": 2}, "of type number may have only"),
    ({"type": "number", "enum": [1, 2]}, "of type number may have only"),
    ({"type": "integer", "exclusiveMinimum": 0}, "of type integer may have only"),
    ({"type": "boolean", "enum": [True]}, "of type boolean may have only"),
    ({"type": "array", "uniqueItems": True, "items": {"enum": ["a"]}}, "of type array may have only"),
    ({"type": "string", "title": 5}, "has a title that is not text"),
    ({"type": "string", "title": "x" * 501}, "has a title that is not text of at most 500"),
    ({"type": "string", "description": ["x"]}, "has a description that is not text"),
    ({"type": "string", "minLength": -1}, "has a minLength that is not a valid number"),
    ({"type": "string", "maxLength": -1}, "has a maxLength that is not a valid number"),
    ({"type": "string", "minLength": "1"}, "has a minLength that is not a valid number"),
    ({"type": "string", "maxLength": 1.5}, "has a maxLength that is not a valid number"),
    ({"type": "string", "maxLength": 9.0}, "has a maxLength that is not a valid number"),
    ({"type": "string", "maxLength": True}, "has a maxLength that is not a valid number"),
    ({"type": "number", "minimum": "0"}, "has a minimum that is not a valid number"),
    ({"type": "number", "maximum": None}, "has a maximum that is not a valid number"),
    ({"type": "array", "items": {"enum": ["a"]}, "minItems": -1}, "has a minItems that is not a valid number"),
    ({"type": "string", "format": "ipv4"}, "has a format other than"),
    ({"type": "string", "format": ["email"]}, "has a format other than"),
    ({"type": "string", "default": 5}, "has a default that does not fit"),
    ({"type": "string", "default": None}, "has a default that does not fit"),
    ({"type": "string", "format": "email", "default": "nobody"}, "has a default that does not fit"),
    ({"type": "string", "enum": ["a"], "default": "b"}, "has a default that does not fit"),
    ({"type": "number", "default": "5"}, "has a default that does not fit"),
    ({"type": "integer", "default": 1.5}, "has a default that does not fit"),
    ({"type": "boolean", "default": "yes"}, "has a default that does not fit"),
    ({"type": "array", "items": {"enum": ["a", "b"]}, "default": ["a", "a"]}, "has a default that does not fit"),
    ({"type": "array"}, "must have items with an enum or anyOf"),
    ({"type": "array", "items": {}}, "must have items with an enum or anyOf"),
    ({"type": "array", "items": {"type": "string"}}, "must have items with an enum or anyOf"),
    ({"type": "array", "items": {"type": "object", "properties": {}}}, "must have items with an enum or anyOf"),
    ({"type": "array", "items": {"oneOf": TITLED}}, "must have items with an enum or anyOf"),
    ({"type": "array", "items": {"type": "number", "enum": ["a"]}}, "must offer text values"),
    ({"type": "array", "items": {"enum": ["s"], "anyOf": TITLED}}, "has both enum and anyOf"),
    ({"type": "string", "enum": ["s"], "oneOf": TITLED}, "has both enum and oneOf"),
    ({"type": "string", "oneOf": "s"}, "must list its oneOf options"),
    ({"type": "string", "oneOf": [{"const": "s"}]}, "must list its oneOf options"),
    ({"type": "string", "oneOf": [{"const": "s", "title": 1}]}, "must list its oneOf options"),
    ({"type": "string", "oneOf": [{"const": "s", "title": "S", "x": 1}]}, "must list its oneOf options"),
    ({"type": "string", "oneOf": []}, "must offer 1 to 100"),
    ({"type": "string", "enum": []}, "must offer 1 to 100"),
    ({"type": "string", "enum": "ab"}, "must offer 1 to 100"),
    ({"type": "string", "enum": None}, "must offer 1 to 100"),
    ({"type": "string", "enum": [1, 2]}, "must offer 1 to 100"),
    ({"type": "string", "enum": ["a", "a"]}, "must offer 1 to 100"),
    ({"type": "string", "enum": ["a", "a\u200b"]}, "must offer 1 to 100"),
    ({"type": "string", "enum": [str(n) for n in range(101)]}, "must offer 1 to 100"),
    ({"type": "string", "enumNames": ["A"]}, "has enumNames without an enum"),
    ({"type": "string", "oneOf": TITLED, "enumNames": ["A", "B"]}, "has enumNames without an enum"),
    ({"type": "string", "enum": ["a"], "enumNames": ["A", "B"]}, "must have as many enumNames"),
    ({"type": "string", "enum": ["a"], "enumNames": "A"}, "must have as many enumNames"),
    ({"type": "string", "enum": ["a"], "enumNames": None}, "must have as many enumNames"),
    ({"type": "string", "enum": ["a"], "enumNames": [1]}, "must have as many enumNames"),
    ({"type": "string", "minLength": 5, "maxLength": 4}, "has a minLength that is greater than its maxLength"),
    ({"type": "number", "minimum": 5, "maximum": 4.5}, "has a minimum that is greater than its maximum"),
    ({"type": "integer", "minimum": 1.2, "maximum": 1.8}, "has a minimum that is greater than its maximum"),
    (
        {"type": "array", "items": {"enum": ["a"]}, "minItems": 1, "maxItems": 0},
        "has a minItems that is greater than its maxItems",
    ),
    ({"type": "string", "minLength": MAX_ANSWER + 1}, "has a minLength of more than 10,000"),
    ({"type": "array", "items": {"enum": ["a"]}, "minItems": 2}, "has a minItems that is greater than the number of"),
    ({"type": "string", "enum": ["a", "abc"], "minLength": 2}, "must offer only values that fit its own"),
    ({"type": "string", "enum": ["a", "abc"], "maxLength": 2}, "must offer only values that fit its own"),
    ({"type": "string", "enum": ["nobody"], "format": "email"}, "must offer only values that fit its own"),
    ({"type": "array", "items": {"enum": ["x" * (MAX_ANSWER + 1)]}}, "must offer only values that fit its own"),
    ({"type": "string", "enum": ["a", "b"], "enumNames": ["A", "A"]}, "must offer values with different titles"),
    ({"type": "string", "enum": ["a", "b"], "enumNames": ["b", "a"]}, "the title that is another value"),
    ({"type": "array", "items": {"anyOf": [TITLED[0], {"const": "Small", "title": "L"}]}}, "the title that is another"),
]


@pytest.mark.parametrize("hidden", ["me@x.com\u202e", "a\u200bb", "\x1b[2K", "two\nlines"])
def test_t25_a_default_that_is_not_plain_text_is_refused_by_name(hidden: str) -> None:
    with pytest.raises(Invalid, match=r"^form field 'field' has a default that is not plain text"):
        _form({"type": "string", "default": hidden})


def test_options_within_the_fields_own_limits_are_taken() -> None:
    _form({"type": "string", "enum": ["a@b.example"], "minLength": 3, "maxLength": 20, "format": "email"})


@pytest.mark.parametrize(("schema", "problem"), OUTSIDE, ids=str)
def test_a_field_outside_the_specification_is_refused_by_name(schema: Any, problem: str) -> None:
    with pytest.raises(Invalid) as refused:
        define({"properties": {"fine": {"type": "string"}, "size": schema}})
    assert str(refused.value).startswith("form field 'size' ")
    assert problem in str(refused.value)


@pytest.mark.parametrize("name", ["", "x" * 61, "a\u200bb", "a\nb", "\u202eabc"])
def test_a_field_needs_a_plain_name(name: str) -> None:
    with pytest.raises(Invalid, match=r"^form field '.*' must have a plain name"):
        define({"properties": {name: {"type": "string"}}})


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({}, "at least one field"),
        ({"properties": {}}, "at least one field"),
        ({"properties": ["name"]}, "at least one field"),
        ({"type": "array", "properties": {"a": {"type": "string"}}}, "must be an object schema"),
        ({"properties": {"a": {"type": "string"}}, "additionalProperties": True}, "only type, properties and required"),
        ({"properties": {"a": {"type": "string"}}, "$defs": {}}, "only type, properties and required"),
        ({"properties": {"a": {"type": "string"}}, "required": ["b"]}, "names that are listed under properties"),
        ({"properties": {"a": {"type": "string"}}, "required": "a"}, "names that are listed under properties"),
        ({"properties": {"a": {"type": "string"}}, "required": [["a"]]}, "names that are listed under properties"),
        ({"properties": {str(n): {"type": "string"} for n in range(MAX_FIELDS + 1)}}, f"more than {MAX_FIELDS} fields"),
        ({"properties": {"a": {"type": "number", "minimum": float("nan")}}}, "form.properties.a.minimum is not a fini"),
        ({"properties": {"a": {"type": "string", "title": "\0"}}}, "form.properties.a.title contains a NUL"),
    ],
)
def test_a_form_is_a_flat_list_of_fields(form: JsonObject, problem: str) -> None:
    with pytest.raises(Invalid) as refused:
        define(form)
    assert problem in str(refused.value)


def test_type_and_required_are_filled_in_and_the_dialect_is_dropped() -> None:
    field = {"type": "boolean"}
    assert define({"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"ok": field}}) == {
        "type": "object",
        "properties": {"ok": field},
        "required": [],
    }


def test_free_text_is_itself_a_form() -> None:
    assert define(FREE_TEXT) == FREE_TEXT


ANSWERS_THAT_FIT: list[tuple[JsonObject, Any]] = [
    ({"type": "string"}, "Grüße, 世界"),
    ({"type": "string", "minLength": 2, "maxLength": 2}, "ab"),
    ({"type": "string", "format": "email"}, "ana@example.com"),
    ({"type": "string", "format": "uri"}, "https://example.com/a?b#c"),
    ({"type": "string", "format": "date"}, "2028-02-29"),
    ({"type": "string", "format": "date-time"}, "2026-11-22T12:00:00+01:00"),
    ({"type": "string", "oneOf": TITLED}, "l"),
    ({"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]}, "b"),
    ({"type": "number"}, 5),
    ({"type": "number", "maximum": -5}, -5.5),
    ({"type": "integer"}, 5),
    ({"type": "boolean"}, False),
    ({"type": "array", "items": {"enum": ["a", "b"]}}, []),
    ({"type": "array", "items": {"anyOf": TITLED}}, ["l", "s"]),
]


@pytest.mark.parametrize(("schema", "value"), ANSWERS_THAT_FIT, ids=str)
def test_an_answer_that_fits_is_taken_as_it_is(schema: JsonObject, value: Any) -> None:
    assert check_answer(_form(schema), {"field": value}) == {"field": value}


ANSWERS_THAT_DO_NOT_FIT: list[tuple[JsonObject, Any, str]] = [
    ({"type": "number"}, "5", "answer.field must be a number."),
    ({"type": "number"}, True, "answer.field must be a number."),
    ({"type": "number"}, None, "answer.field must be a number."),
    ({"type": "number"}, float("nan"), "answer.field is not a finite number."),
    ({"type": "number"}, float("inf"), "answer.field is not a finite number."),
    ({"type": "number"}, 10**30, "answer.field is an integer beyond"),
    ({"type": "number", "minimum": 1}, 0, "answer.field must be at least 1."),
    ({"type": "number", "maximum": 1}, 2, "answer.field must be at most 1."),
    ({"type": "integer"}, 1.5, "answer.field must be a whole number."),
    ({"type": "boolean"}, "true", "answer.field must be true or false."),
    ({"type": "boolean"}, 1, "answer.field must be true or false."),
    ({"type": "string"}, 5, "answer.field must be text."),
    ({"type": "string"}, "a\0", "answer.field contains a NUL"),
    ({"type": "string"}, "x" * (MAX_ANSWER + 1), "answer.field must have at most 10,000 characters."),
    ({"type": "string", "minLength": 1}, "", "answer.field must not be empty."),
    ({"type": "string", "minLength": 3}, "ab", "answer.field must have at least 3 characters."),
    ({"type": "string", "maxLength": 1}, "ab", "answer.field must have at most 1 characters."),
    ({"type": "string", "format": "email"}, "ana", "answer.field must be an e-mail address."),
    ({"type": "string", "format": "uri"}, "not a uri", "answer.field must be a URI such as"),
    ({"type": "string", "format": "date"}, "2026-02-29", "answer.field must be a date such as"),
    ({"type": "string", "format": "date"}, "20260228", "answer.field must be a date such as"),
    ({"type": "string", "format": "date-time"}, "2026-11-22", "answer.field must be a date and time such as"),
    ({"type": "string", "enum": ["a", "b"]}, "c", "answer.field must be one of 'a', 'b'."),
    ({"type": "string", "oneOf": TITLED}, "Large", "answer.field must be one of the options"),
    ({"type": "array", "items": {"enum": ["a"]}}, "a", "answer.field must be a list."),
    ({"type": "array", "items": {"enum": ["a", "b"]}}, ["a", "c"], "answer.field[1] must be one of 'a', 'b'."),
    ({"type": "array", "items": {"enum": ["a", "b"]}}, ["a", "a"], "answer.field must not list anything twice."),
    ({"type": "array", "items": {"anyOf": TITLED}, "minItems": 1}, [], "answer.field must have at least 1 items."),
    ({"type": "array", "items": {"anyOf": TITLED}, "maxItems": 1}, ["s", "l"], "answer.field must have at most 1 ite"),
]


@pytest.mark.parametrize(("schema", "value", "message"), ANSWERS_THAT_DO_NOT_FIT, ids=str)
def test_an_answer_that_does_not_fit_is_refused_with_what_was_expected(
    schema: JsonObject, value: Any, message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        check_answer(_form(schema), {"field": value})
    assert str(refused.value).startswith(message)


TWO = define({"properties": {"amount": {"type": "number"}, "note": {"type": "string"}}, "required": ["amount"]})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        check_answer(TWO, {"note": "hi"})
    assert str(refused.value) == "answer lacks the field 'amount'."


def test_a_field_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(Invalid, match="answer has a field that is not allowed here"):
        check_answer(TWO, {"amount": 5, "extra": "x"})


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_in_an_optional_field_counts_as_left_out(nothing: object) -> None:
    assert check_answer(TWO, {"amount": 5, "note": nothing}) == {"amount": 5}


def test_zero_and_false_are_answers_also_in_an_optional_field() -> None:
    form = define({"properties": {"n": {"type": "number"}, "ok": {"type": "boolean"}}})
    assert check_answer(form, {"n": 0, "ok": False}) == {"n": 0, "ok": False}


def test_several_mistakes_are_told_together() -> None:
    with pytest.raises(Invalid) as refused:
        check_answer(TWO, {"amount": "5", "note": 6})
    assert str(refused.value) == "answer.amount must be a number; answer.note must be text."


@pytest.mark.parametrize("answer", [None, "yes", 5, [["amount", 5]]])
def test_an_answer_is_an_object(answer: Any) -> None:
    with pytest.raises(Invalid, match=r"^The answer must be an object"):
        check_answer(TWO, answer)


def test_refusing_an_answer_never_repeats_it() -> None:
    form = define({"properties": {"a": {"type": "number"}, "b": {"type": "string", "format": "email"}}})
    with pytest.raises(Invalid) as refused:
        check_answer(form, {"a": "CANARY", "b": "CANARY"})
    assert "CANARY" not in str(refused.value)


def test_fields_tell_a_terminal_how_to_ask() -> None:
    form = define(
        {
            "properties": {
                "size": {"type": "string", "title": "Size\u202e", "oneOf": TITLED},
                "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
                "plan": {"type": "string", "enum": ["x", "y"], "enumNames": ["Plan X", "Plan\x1b Y"]},
                "many": {"type": "array", "items": {"anyOf": TITLED}},
                "note": {"type": "string"},
            },
            "required": ["size"],
        }
    )
    size, tags, plan, many, note = fields_of(form)
    assert (size.name, size.type, size.label, size.required) == ("size", "string", "Size\\u202e", True)
    assert size.choices == many.choices == (Choice("s", "Small"), Choice("l", "Large"))
    assert tags.choices == (Choice("a", "a"), Choice("b", "b"))
    assert plan.choices == (Choice("x", "Plan X"), Choice("y", "Plan\\u001b Y"))
    assert (note.label, note.required, note.choices) == ("note", False, ())


def test_one_field_can_be_checked_by_itself() -> None:
    (field,) = fields_of(_form({"type": "integer", "title": "How many", "minimum": 1}))
    field.check(3)
    with pytest.raises(Invalid) as refused:
        field.check(0)
    assert str(refused.value) == "How many must be at least 1."


EVERY_TYPE = define(
    {
        "properties": {
            "name": {"type": "string", "title": "Na\u200bme", "description": "\x1b[31mred", "default": "Ana"},
            "size": {"type": "string", "oneOf": [{"const": "s", "title": "Sm\u202eall"}], "default": "s"},
            "plan": {"type": "string", "enum": ["x"], "enumNames": ["X\u2066"]},
            "age": {"type": "integer", "minimum": 0, "default": 3},
            "ok": {"type": "boolean", "default": True},
        },
        "required": ["name"],
    }
)


@pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])
def test_t25_a_form_for_a_client_says_the_same_without_what_deceives(protocol: str) -> None:
    shown = for_client(EVERY_TYPE, protocol)
    assert shown == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "title": "Na\\u200bme", "description": "\\u001b[31mred", "default": "Ana"},
            "size": {"type": "string", "oneOf": [{"const": "s", "title": "Sm\\u202eall [s]"}], "default": "s"},
            "plan": {"type": "string", "enum": ["x"], "enumNames": ["X\\u2066 [x]"]},
            "age": {"type": "integer", "minimum": 0, "default": 3},
            "ok": {"type": "boolean", "default": True},
        },
        "required": ["name"],
    }


def test_a_form_for_2025_06_18_holds_only_what_that_revision_knows() -> None:
    shown = for_client(EVERY_TYPE, "2025-06-18")
    assert shown == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "title": "Na\\u200bme", "description": "\\u001b[31mred"},
            "size": {"type": "string", "enum": ["s"], "enumNames": ["Sm\\u202eall [s]"]},
            "plan": {"type": "string", "enum": ["x"], "enumNames": ["X\\u2066 [x]"]},
            "age": {"type": "integer", "minimum": 0},
            "ok": {"type": "boolean", "default": True},
        },
        "required": ["name"],
    }


def test_several_choices_cannot_be_shown_on_2025_06_18() -> None:
    form = _form({"type": "array", "items": {"anyOf": TITLED}})
    assert for_client(form, "2025-06-18") is None
    shown = for_client(form, "2025-11-25")
    assert shown is not None
    assert shown["properties"]["field"]["items"]["anyOf"] == [
        {"const": "s", "title": "Small [s]"},
        {"const": "l", "title": "Large [l]"},
    ]


def test_a_choice_shows_the_value_that_its_title_does_not_say() -> None:
    options = [{"const": "wire 5000 USD", "title": "Yes"}, {"const": "No", "title": "No"}]
    form = _form({"type": "string", "oneOf": options})
    told = [{"const": "wire 5000 USD", "title": "Yes [wire 5000 USD]"}, {"const": "No", "title": "No"}]
    for protocol in ("2025-11-25", "2026-07-28"):
        shown = for_client(form, protocol)
        assert shown is not None
        assert shown["properties"]["field"]["oneOf"] == told
    older = for_client(form, "2025-06-18")
    assert older is not None
    assert older["properties"]["field"]["enumNames"] == ["Yes [wire 5000 USD]", "No"]


def test_untitled_choices_say_that_they_are_text() -> None:
    form = _form({"type": "array", "items": {"enum": ["a"]}})
    shown = for_client(form, "2025-11-25")
    assert shown is not None
    assert shown["properties"]["field"]["items"] == {"type": "string", "enum": ["a"]}


GENERATED: list[JsonObject] = [
    {  # pydantic: class Trip(BaseModel): model_config = ConfigDict(extra="forbid"); city: str; note: str | None = None
        "title": "Trip",
        "description": "Where to.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "city": {"title": "City", "type": "string", "pattern": "^[A-Z]"},
            "nights": {
                "anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}],
                "default": None,
                "title": "Nights",
            },
        },
        "required": ["city"],
    },
    {  # zod 4: z.toJSONSchema(z.object({city: z.string().regex(/^[A-Z]/), nights: z.int().min(1).nullable()}))
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "city": {"type": "string", "pattern": "^[A-Z]"},
            "nights": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        },
        "required": ["city", "nights"],
        "additionalProperties": False,
    },
]


@pytest.mark.parametrize("generated", GENERATED, ids=["pydantic", "zod"])
def test_a_form_from_a_generator_is_taken_and_what_may_be_null_is_optional(generated: JsonObject) -> None:
    form = define(generated)
    assert [(field.name, field.type, field.required) for field in fields_of(form)] == [
        ("city", "string", True),
        ("nights", "integer", False),
    ]
    assert check_answer(form, {"city": "Lyon", "nights": None}) == {"city": "Lyon"}
    with pytest.raises(Invalid, match="nights must be at least 1"):
        check_answer(form, {"city": "Lyon", "nights": 0})
    with pytest.raises(Invalid, match=r"city must match the pattern \^\[A-Z\]"):
        check_answer(form, {"city": "lyon"})


def test_a_form_that_pydantic_makes_today_is_taken() -> None:
    class Trip(BaseModel):
        """Where to."""

        model_config = ConfigDict(extra="forbid")
        city: str = PydanticField(pattern="^[A-Z]")
        nights: int | None = None

    assert define(Trip.model_json_schema())["required"] == ["city"]


def test_a_client_is_shown_a_pattern_in_words_since_elicitation_has_no_such_keyword() -> None:
    shown = for_client(_form({"type": "string", "description": "A plate.", "pattern": "^[A-Z]+$"}), "2026-07-28")
    assert shown is not None
    [field] = shown["properties"].values()
    assert field == {"type": "string", "description": "A plate. Must match the pattern ^[A-Z]+$"}


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "(", 5, "a" * 501, r"\p{Nobody}"])
def test_a_pattern_that_cannot_be_matched_without_backtracking_is_refused(pattern: object) -> None:
    with pytest.raises(Invalid, match="has a pattern that RE2 does not support"):
        _form({"type": "string", "pattern": pattern})


@pytest.mark.parametrize("pattern", [r"\pL{250}", r"(?i)(\pL\pN){30}", r"[\pL ]{60}", r"((((a{9}){9}){9}){9}){9}"])
def test_t37_a_pattern_that_takes_much_memory_and_time_is_refused_at_once(pattern: str) -> None:
    compiled = patterns._within.cache_info().misses  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(Invalid, match="or that is too large"):
        _form({"type": "string", "pattern": pattern})
    assert patterns._within.cache_info().misses == compiled + 1  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    "pattern", [r"^[\w.+-]{1,64}@([\w-]{1,63}\.){1,4}[a-z]{2,20}$", r"^\pL[\pL '-]*$", r"^\d{1,999}$"]
)
def test_a_pattern_of_usual_size_is_taken(pattern: str) -> None:
    assert _form({"type": "string", "pattern": pattern})


def test_t37_no_pattern_stalls_the_desk() -> None:
    form = _form({"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"})
    with pytest.raises(Invalid, match="must match the pattern"):  # with backtracking, this would take centuries
        check_answer(form, {"field": "a" * 5000})


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (r"^\d+$", "42", True),
        (r"^\d+$", "٤٢", False),
        (r"^\d+$", "42\n", False),
        ("b", "abc", True),
    ],
)
def test_a_pattern_is_sought_anywhere_and_its_digits_are_ascii(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits


def test_the_answers_to_a_form_that_comes_again_are_checked_without_making_its_validator_anew() -> None:
    def form() -> JsonObject:  # as the database gives it, each time another object
        return define({"properties": {"size": {"type": "string", "enum": ["s", "l"], "title": "Once only"}}})

    with mock.patch.object(schemas, "validators", wraps=schemas.validators) as made:
        for size in ("s", "l", "s"):
            assert check_answer(form(), {"size": size}) == {"size": size}
            with pytest.raises(Invalid):
                check_answer(form(), {"size": "m"})
    assert made.call_count == 1
