"""Forms that a person fills in: the flat JSON Schema that MCP elicitation allows, and nothing else.

Source: https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation (requested schema), unchanged in
2026-07-28. Protocol 2025-06-18 allows less; `client_forms` says what a client there can show.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from mcp_hitl.domain.policy.form_schema import NAMES, REQUIRED, VALUES, check_shape, refused
from mcp_hitl.domain.values.alphabets import look
from mcp_hitl.domain.values.canonical import JsonObject, canonical, read_back
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.schemas import check_against
from mcp_hitl.domain.values.text import visible

MAX_ANSWER = 10_000
"""The most characters that one text of an answer may have, unless the form sets a lower limit (THREATS T34)."""

_LIMITS = frozenset({"minLength", "maxLength", "format", "pattern"})
_NULL: JsonObject = {"type": "null"}

FREE_TEXT: JsonObject = {
    "type": "object",
    "properties": {"answer": {"type": "string", "title": "Answer", "minLength": 1, "maxLength": MAX_ANSWER}},
    "required": ["answer"],
}
"""The form of a question that has no form of its own."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a field: the value that is sent, and the title that the person reads."""

    value: str
    title: str


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form, read from its schema."""

    name: str
    schema: JsonObject
    required: bool

    @property
    def type(self) -> str:
        """The type of the field: `string`, `number`, `integer`, `boolean` or `array` (several choices)."""
        return str(self.schema["type"])

    @property
    def label(self) -> str:
        """The name of the field to show to a person."""
        return visible(str(self.schema.get("title") or self.name))

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The options to choose from; empty if the person may enter any value of the type."""
        holder = self.schema.get("items", self.schema)
        titled = holder.get("oneOf") or holder.get("anyOf")
        if titled:
            return tuple(Choice(option["const"], visible(option["title"])) for option in titled)
        names = holder.get("enumNames") or holder.get("enum", [])
        return tuple(Choice(v, visible(n)) for v, n in zip(holder.get("enum", []), names, strict=True))

    def check(self, value: object) -> None:
        """Check one value against the field.

        Raises:
            Invalid: the value does not fit; the message says what was expected.
        """
        _check_values({self.name: value})
        check_against(_enforced(self.schema), value, what=self.label)


def define(form: Mapping[str, Any]) -> JsonObject:
    """Check a form's definition and return it complete, with `type` and `required` filled in.

    It accepts what schema generators add: a dialect, a title and a description of the whole form, a ban on other
    fields, and `anyOf` of a type and null, which makes the field optional.

    Raises:
        Invalid: the message names the field and what the specification allows there.
    """
    canonical(dict(form), what="form")
    return read_back(_defined(json.dumps(dict(form))))


@lru_cache(maxsize=64)
def _defined(text: str) -> str:
    """Do the work of `define` once for a form that comes again; its fields stay in order, and nobody can change it."""
    form: JsonObject = read_back(text)
    given: Any = form.get("properties")
    fields: Any = given
    if isinstance(given, dict):
        fields = {name: _without_null(schema) for name, schema in cast("JsonObject", given).items()}
    check_shape({**form, "properties": fields})
    required: list[str] = form.get("required", [])
    if not set(required) <= fields.keys():
        raise Invalid(f"{REQUIRED}.")
    for name, schema in fields.items():
        for check in (_check_range, _check_enum_names, _check_choices, _check_values_fit, _check_default):
            check(Field(name, schema, True))
    needed = [name for name in required if fields[name] is given[name]]
    return json.dumps({"type": "object", "properties": fields, "required": needed})


def _without_null(schema: Any) -> Any:
    """Return T with its surrounding keywords for `anyOf: [T, {"type": "null"}]`, and any other schema unchanged."""
    if not isinstance(schema, dict):
        return schema
    around = dict(cast("JsonObject", schema))
    options: Any = around.pop("anyOf", None)
    if not isinstance(options, list) or len(cast("list[Any]", options)) != 2 or _NULL not in options:
        return cast("JsonObject", schema)
    [other] = [option for option in cast("list[Any]", options) if option != _NULL] or [_NULL]
    if not isinstance(other, dict):
        return cast("JsonObject", schema)
    if around.get("default", ...) is None:
        del around["default"]
    return {**cast("JsonObject", other), **around}


def fields_of(form: JsonObject) -> tuple[Field, ...]:
    """Return the fields of a defined form, in order."""
    return tuple(Field(n, schema, n in form["required"]) for n, schema in form["properties"].items())


def number_typed(field: Field, typed: str) -> int | float:
    """Return the number that a person typed into a field.

    Raises:
        Invalid: the text is not a number.
    """
    try:
        if "_" in typed or not typed.isascii():
            raise ValueError  # which Python's own notation allows, and nobody else's
        return int(typed) if typed.strip().lstrip("+-").isdecimal() else float(typed)
    except ValueError:
        raise Invalid(f"{field.label} must be a number.") from None


def check_answer(form: JsonObject, answer: object) -> JsonObject:
    """Return a person's answer, checked against a defined form; null or empty text leaves an optional field out.

    Raises:
        Invalid: the message names each field that does not fit, and what was expected there.
    """
    if not isinstance(answer, dict):
        raise Invalid("The answer must be an object with the form's fields.")
    given = {k: v for k, v in cast("JsonObject", answer).items() if v not in (None, "") or k in form["required"]}
    _check_values(given)
    check_against(_of_answers(json.dumps(form)), given, what="answer")
    return given


@lru_cache(maxsize=64)
def _of_answers(form: str) -> JsonObject:
    """Return the schema of the answers to a form, the same object each time: making its validator takes long."""
    defined: JsonObject = read_back(form)
    return {
        "type": "object",
        "properties": {name: _enforced(schema) for name, schema in defined["properties"].items()},
        "required": defined["required"],
        "additionalProperties": False,
    }


def _check_range(field: Field) -> None:
    """Refuse limits that no answer can keep."""
    schema = field.schema
    for least, most in (("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum")):
        low, high = schema.get(least, -math.inf), schema.get(most, math.inf)
        if field.type == "integer" and math.isfinite(low) and math.isfinite(high):
            low, high = math.ceil(low), math.floor(high)
        if low > high:
            raise refused(field.name, f"has a {least} that is greater than its {most}, so nobody can answer")
    if schema.get("minLength", 0) > MAX_ANSWER:
        raise refused(field.name, f"has a minLength of more than {MAX_ANSWER:,}, so nobody can answer")


def _check_enum_names(field: Field) -> None:
    """Refuse values of which some have no title, or titles without a value."""
    names = field.schema.get("enumNames")
    if names is not None and len(names) != len(field.schema["enum"]):
        raise refused(field.name, NAMES)


def _check_choices(field: Field) -> None:
    """Refuse options that a person or this program could mix up, and fewer than have to be chosen."""
    titles = {look(" ".join(choice.title.split())) for choice in field.choices}
    values = {choice.value for choice in field.choices}
    if len(values) < len(field.choices):
        raise refused(field.name, VALUES)
    if field.schema.get("minItems", 0) > len(values):
        raise refused(
            field.name, "has a minItems that is greater than the number of values it offers, so nobody can answer"
        )
    if len(titles) < len(field.choices):
        raise refused(field.name, "must offer values with different titles")
    if any(choice.title != choice.value and choice.title in values for choice in field.choices):
        raise refused(field.name, "must not give a value the title that is another value")


def _check_values_fit(field: Field) -> None:
    """Refuse options that the field itself would refuse as an answer."""
    limited = not _LIMITS.isdisjoint(field.schema)
    for choice in field.choices:
        try:
            if limited or len(choice.value) > MAX_ANSWER:
                field.check(choice.value)
        except Invalid:
            raise refused(
                field.name, "must offer only values that fit its own minLength, maxLength, format and pattern"
            ) from None


def _check_default(field: Field) -> None:
    """Refuse a default that is no answer, or that hides something from the person who accepts it."""
    if "default" not in field.schema:
        return
    default: Any = field.schema["default"]
    try:
        field.check(default)
    except Invalid as mistake:
        raise refused(field.name, f"has a default that does not fit the field itself: {mistake}".rstrip(".")) from None
    if any(
        isinstance(text, str) and visible(text) != text for text in (default if field.type == "array" else [default])
    ):
        raise refused(
            field.name, "has a default that is not plain text, so the person could not see what they agree to"
        )


def _check_values(answer: JsonObject) -> None:
    canonical(answer, what="answer")
    for name, value in answer.items():
        if isinstance(value, str) and len(value) > MAX_ANSWER:
            raise Invalid(f"answer.{visible(name)[:60]} must have at most {MAX_ANSWER:,} characters.")


def _enforced(schema: JsonObject) -> JsonObject:
    """Return the schema that an answer must satisfy: in a choice of several, each value may occur once."""
    return schema | {"uniqueItems": True} if schema["type"] == "array" else schema
