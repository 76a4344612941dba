"""Forms that a person fills in: the flat JSON Schema that MCP elicitation allows, and nothing else.

Source: https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation (requested schema), unchanged in
2026-07-28. Protocol 2025-06-18 allows less; `for_client` returns what a client there can show.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from mcp_hitl.domain.values import patterns
from mcp_hitl.domain.values.canonical import JsonObject, canonical
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.schemas import check_against
from mcp_hitl.domain.values.text import visible

OLDEST_PROTOCOL = "2025-06-18"
MAX_FIELDS = 40
MAX_ANSWER = 10_000
"""The most characters that one text of an answer may have, unless the form sets a lower limit (THREATS T34)."""

_COMMON = frozenset({"type", "title", "description", "default"})
_KEYWORDS: Mapping[str, frozenset[str]] = {
    "string": _COMMON | {"minLength", "maxLength", "format", "pattern", "enum", "enumNames", "oneOf"},
    "number": _COMMON | {"minimum", "maximum"},
    "integer": _COMMON | {"minimum", "maximum"},
    "boolean": _COMMON,
    "array": _COMMON | {"items", "minItems", "maxItems"},
}
_LIMITS = frozenset({"minLength", "maxLength", "format", "pattern"})
_NULL: JsonObject = {"type": "null"}
_FORMATS = frozenset({"email", "uri", "date", "date-time"})

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
    extra = set(form) - {"type", "properties", "required", "$schema", "title", "description", "additionalProperties"}
    if extra or form.get("additionalProperties", False) is not False:
        raise Invalid(
            "form may have only type, properties and required (with additionalProperties false): "
            "forms are flat lists of fields."
        )
    properties = form.get("properties")
    if form.get("type", "object") != "object" or not isinstance(properties, dict) or not properties:
        raise Invalid("form must be an object schema with at least one field under properties.")
    properties = cast("JsonObject", properties)
    if len(properties) > MAX_FIELDS:
        raise Invalid(f"form has more than {MAX_FIELDS} fields. Ask for less at once.")
    required: Any = form.get("required", [])
    if not isinstance(required, list) or any(name not in list(properties) for name in cast("list[Any]", required)):
        raise Invalid("form's required must be a list of names that are listed under properties.")
    fields = {name: _without_null(schema) for name, schema in properties.items()}
    for name, schema in fields.items():
        _check_field(name, schema)
    needed = [name for name in cast("list[str]", required) if fields[name] is properties[name]]
    return {"type": "object", "properties": fields, "required": needed}


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
    enforced = {name: _enforced(schema) for name, schema in form["properties"].items()}
    schema = {
        "type": "object",
        "properties": enforced,
        "required": form["required"],
        "additionalProperties": False,
    }
    check_against(schema, given, what="answer")
    return given


def for_client(form: JsonObject, protocol: str) -> JsonObject | None:
    """Return the form as a client on `protocol` can show it, or None if it cannot (several choices on 2025-06-18).

    Titles and descriptions have deceptive characters escaped (THREATS T25); names and values stay as they are.
    """
    shown = {name: _readable(schema) for name, schema in form["properties"].items()}
    if protocol == OLDEST_PROTOCOL:
        if any(schema["type"] == "array" for schema in shown.values()):
            return None
        shown = {name: _as_of_2025_06_18(schema) for name, schema in shown.items()}
    return {"type": "object", "properties": shown, "required": form["required"]}


def _check_field(name: str, schema: Any) -> None:
    def refuse(problem: str) -> Invalid:
        return Invalid(f"form field {visible(name)[:60]!r} {problem}.")

    if not name or len(name) > 60 or visible(name) != name:
        raise refuse("must have a plain name of at most 60 characters")
    if not isinstance(schema, dict):
        raise refuse("must be a JSON Schema object")
    kind: Any = cast("JsonObject", schema).get("type")
    if not isinstance(kind, str) or kind not in _KEYWORDS:
        raise refuse("must have a type of string, number, integer, boolean, or array for several choices; not nested")
    schema = cast("JsonObject", schema)
    unknown = sorted(set(schema) - _KEYWORDS[kind])
    if unknown:
        raise refuse(f"of type {kind} may have only {', '.join(sorted(_KEYWORDS[kind]))}")
    for keyword in ("title", "description"):
        if not isinstance(schema.get(keyword, ""), str) or len(schema.get(keyword, "")) > 500:
            raise refuse(f"has a {keyword} that is not text of at most 500 characters")
    for keyword, types in (
        ("minLength", int), ("maxLength", int), ("minItems", int), ("maxItems", int),
        ("minimum", (int, float)), ("maximum", (int, float)),
    ):  # fmt: skip
        value = schema.get(keyword, 0)
        if not isinstance(value, types) or isinstance(value, bool) or ("imum" not in keyword and value < 0):
            raise refuse(f"has a {keyword} that is not a valid number for it")
    if "pattern" in schema and not patterns.is_linear(schema["pattern"]):
        raise refuse("has a pattern that RE2 does not support: look-around and references to a group are not allowed")
    if schema.get("format", "email") not in tuple(_FORMATS):
        raise refuse(f"has a format other than {', '.join(sorted(_FORMATS))}")
    _check_choices(schema, refuse)
    _check_answerable(Field(name, schema, True), refuse)
    if "default" in schema:
        try:
            Field(name, schema, True).check(schema["default"])
        except Invalid as mistake:
            raise refuse(f"has a default that does not fit the field itself: {mistake}".rstrip(".")) from None
        texts: Any = schema["default"] if kind == "array" else [schema["default"]]
        if any(isinstance(text, str) and visible(text) != text for text in texts):
            raise refuse("has a default that is not plain text, so the person could not see what they agree to")


def _check_answerable(field: Field, refuse: Any) -> None:
    """Refuse a field that no answer can fit, and options that a person or this program could mix up."""
    schema = field.schema
    for least, most in (("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum")):
        low, high = schema.get(least, -math.inf), schema.get(most, math.inf)
        if field.type == "integer" and math.isfinite(low) and math.isfinite(high):
            low, high = math.ceil(low), math.floor(high)
        if low > high:
            raise refuse(f"has a {least} that is greater than its {most}, so nobody can answer")
    if schema.get("minLength", 0) > MAX_ANSWER:
        raise refuse(f"has a minLength of more than {MAX_ANSWER:,}, so nobody can answer")
    choices = field.choices
    if not choices:
        return
    if schema.get("minItems", 0) > len(choices):
        raise refuse("has a minItems that is greater than the number of values it offers, so nobody can answer")
    if len({choice.title for choice in choices}) < len(choices):
        raise refuse("must offer values with different titles")
    values = {choice.value for choice in choices}
    if any(choice.title != choice.value and choice.title in values for choice in choices):
        raise refuse("must not give a value the title that is another value")
    if {"minLength", "maxLength", "format", "pattern"} & schema.keys() or any(
        len(value) > MAX_ANSWER for value in values
    ):
        for choice in choices:
            try:
                field.check(choice.value)
            except Invalid:
                raise refuse(
                    "must offer only values that fit its own minLength, maxLength, format and pattern"
                ) from None


def _check_choices(schema: JsonObject, refuse: Any) -> None:
    holder: Any = schema
    if schema["type"] == "array":
        holder = schema.get("items")
        if not isinstance(holder, dict) or not set(cast("JsonObject", holder)) <= {"type", "enum", "anyOf"}:
            raise refuse("of type array must have items with an enum or anyOf of titled values")
        if cast("JsonObject", holder).get("type", "string") != "string":
            raise refuse("of type array must offer text values")
    holder = cast("JsonObject", holder)
    titled_by = "anyOf" if schema["type"] == "array" else "oneOf"
    values: list[Any] | None = None
    if "enum" in holder and titled_by in holder:
        raise refuse(f"has both enum and {titled_by}; use one")
    if titled_by in holder:
        options: Any = holder[titled_by]
        if not isinstance(options, list) or not all(
            isinstance(option, dict) and set(cast("JsonObject", option)) == {"const", "title"}
            and isinstance(cast("JsonObject", option)["title"], str)
            for option in cast("list[Any]", options)
        ):  # fmt: skip
            raise refuse(f"must list its {titled_by} options as objects of const and title")
        values = [option["const"] for option in cast("list[JsonObject]", options)]
    elif "enum" in holder:
        values = holder["enum"]
    elif schema["type"] == "array":
        raise refuse("of type array must have items with an enum or anyOf of titled values")
    if "enumNames" in schema and "enum" not in schema:
        raise refuse("has enumNames without an enum")
    if values is None:
        return
    if (
        not isinstance(cast("Any", values), list)
        or not 1 <= len(values) <= 100
        or not all(isinstance(value, str) and visible(value) == value for value in values)
        or len(set(values)) != len(values)
    ):
        raise refuse("must offer 1 to 100 different plain text values")
    names: Any = schema.get("enumNames")
    if names is not None and (
        not isinstance(names, list)
        or len(cast("list[Any]", names)) != len(values)
        or not all(isinstance(name, str) for name in cast("list[Any]", names))
    ):
        raise refuse("must have as many enumNames as enum values, all text")


def _check_values(answer: JsonObject) -> None:
    canonical(answer, what="answer")
    for name, value in answer.items():
        if isinstance(value, str) and len(value) > MAX_ANSWER:
            raise Invalid(f"answer.{visible(name)[:60]} must have at most {MAX_ANSWER:,} characters.")


def _enforced(schema: JsonObject) -> JsonObject:
    """Return the schema that an answer must satisfy: in a choice of several, each value may occur once."""
    return schema | {"uniqueItems": True} if schema["type"] == "array" else schema


def _readable(schema: JsonObject) -> JsonObject:
    shown: JsonObject = {k: visible(v) if k in {"title", "description"} else v for k, v in schema.items()}
    for keyword in ("oneOf", "anyOf"):
        if keyword in shown:
            shown[keyword] = [option | {"title": visible(option["title"])} for option in shown[keyword]]
    if pattern := shown.pop("pattern", None):  # no keyword of elicitation
        shown["description"] = f"{shown.get('description', '')} Must match the pattern {visible(pattern)}".strip()
    if "enumNames" in shown:
        shown["enumNames"] = [visible(name) for name in shown["enumNames"]]
    if "items" in shown:
        shown["items"] = {"type": "string"} | _readable(shown["items"])
        if "anyOf" in shown["items"]:
            del shown["items"]["type"]
    return shown


def _as_of_2025_06_18(schema: JsonObject) -> JsonObject:
    older = {k: v for k, v in schema.items() if k != "default" or schema["type"] == "boolean"}
    if options := older.pop("oneOf", None):
        older["enum"] = [option["const"] for option in options]
        older["enumNames"] = [option["title"] for option in options]
    return older
