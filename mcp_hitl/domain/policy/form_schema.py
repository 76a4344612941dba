"""What a form may be, as one JSON Schema: the flat subset that MCP elicitation allows.

It has two keywords of its own. `errorMessage` (the name is ajv's) is the sentence for a mistake in the schema it stands
in, or one for each keyword, with "" for the others. `byType` has the schema for each type of a field: it takes half
the time of `if` and `then` for each. The format `plain-text` is text that hides nothing, `re2` a short pattern for RE2.
What a schema cannot say, because it compares one value with another, is in `forms`.
"""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.patterns import is_small
from mcp_hitl.domain.values.text import visible

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

MAX_FIELDS = 40
_TYPE = "must have a type of string, number, integer, boolean, or array for several choices; not nested"
_ITEMS = "of type array must have items with an enum or anyOf of titled values"
VALUES = "must offer 1 to 100 different plain text values"
NAMES = "must have as many enumNames as enum values, all text"
_FORMATS = ["date", "date-time", "email", "uri"]
_FLAT = (
    "form may have only type, properties and required (with additionalProperties false): forms are flat lists of fields"
)
_EMPTY = "form must be an object schema with at least one field under properties"
REQUIRED = "form's required must be a list of names that are listed under properties"

_NUMBER: JsonObject = {"type": "number", "errorMessage": "has a {keyword} that is not a valid number for it"}
_COUNT: JsonObject = _NUMBER | {"type": "integer", "minimum": 0}
_TEXT: JsonObject = {
    "type": "string",
    "maxLength": 500,
    "errorMessage": "has a {keyword} that is not text of at most 500 characters",
}
_VALUE: JsonObject = {"type": "string", "format": "plain-text", "errorMessage": VALUES}
_LIST: JsonObject = {"type": "array", "minItems": 1, "maxItems": 100, "errorMessage": VALUES}
_ENUM: JsonObject = _LIST | {"items": _VALUE, "uniqueItems": True}
_ONE_OF, _ANY_OF = (
    _LIST
    | {
        "items": {
            "type": "object",
            "required": ["const", "title"],
            "additionalProperties": False,
            "properties": {"const": _VALUE, "title": {"type": "string", "errorMessage": options}},
            "errorMessage": options,
        },
        "errorMessage": {"": VALUES, "type": options},
    }
    for options in (f"must list its {keyword} options as objects of const and title" for keyword in ("oneOf", "anyOf"))
)
_NAMED: JsonObject = {"type": "array", "items": {"type": "string", "errorMessage": NAMES}, "errorMessage": NAMES}
_PATTERN: JsonObject = {
    "format": "re2",
    "errorMessage": "has a pattern that RE2 does not support, or that is too large: look-around, references to a group "
    "and many repetitions of a large class are not allowed",
}
_ITEM: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "type": {"const": "string", "errorMessage": "of type array must offer text values"},
        "enum": _ENUM,
        "anyOf": _ANY_OF,
    },
    "not": {"required": ["enum", "anyOf"]},
    "anyOf": [{"required": ["enum"]}, {"required": ["anyOf"]}],
    "errorMessage": {"": _ITEMS, "not": "has both enum and anyOf; use one"},
}
_KEYWORDS: dict[str, JsonObject] = {
    "string": {
        "minLength": _COUNT,
        "maxLength": _COUNT,
        "pattern": _PATTERN,
        "format": {"enum": _FORMATS, "errorMessage": f"has a format other than {', '.join(_FORMATS)}"},
        "enum": _ENUM,
        "enumNames": _NAMED,
        "oneOf": _ONE_OF,
    },
    "number": {"minimum": _NUMBER, "maximum": _NUMBER},
    "integer": {"minimum": _NUMBER, "maximum": _NUMBER},
    "boolean": {},
    "array": {"minItems": _COUNT, "maxItems": _COUNT, "items": _ITEM},
}
_COMMON: JsonObject = {"type": {}, "title": _TEXT, "description": _TEXT, "default": {}}
_FIELD: JsonObject = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"enum": list(_KEYWORDS), "errorMessage": _TYPE}},
    "byType": {
        kind: {
            "additionalProperties": False,
            "properties": _COMMON | keywords,
            "required": ["items"] if kind == "array" else [],
            "errorMessage": {
                "additionalProperties": f"of type {kind} may have only {', '.join(sorted(_COMMON | keywords))}",
                "required": _ITEMS,
            },
        }
        for kind, keywords in _KEYWORDS.items()
    },
    "not": {"required": ["enum", "oneOf"]},
    "dependentRequired": {"enumNames": ["enum"]},
    "errorMessage": {
        "type": "must be a JSON Schema object",
        "required": _TYPE,
        "not": "has both enum and oneOf; use one",
        "dependentRequired": "has enumNames without an enum",
    },
}
_FIELDS: JsonObject = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": MAX_FIELDS,
    "propertyNames": {
        "minLength": 1,
        "maxLength": 60,
        "format": "plain-text",
        "errorMessage": "must have a plain name of at most 60 characters",
    },
    "additionalProperties": _FIELD,
    "errorMessage": {"": _EMPTY, "maxProperties": f"form has more than {MAX_FIELDS} fields. Ask for less at once"},
}
FORM: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "required": ["properties"],
    "properties": {
        "$schema": {},
        "title": {},
        "description": {},
        "additionalProperties": {"const": False, "errorMessage": _FLAT},
        "type": {"const": "object", "errorMessage": _EMPTY},
        "properties": _FIELDS,
        "required": {"type": "array", "items": {"type": "string", "errorMessage": REQUIRED}, "errorMessage": REQUIRED},
    },
    "errorMessage": {"": _EMPTY, "additionalProperties": _FLAT},
}


def check_shape(form: JsonObject) -> None:
    """Check a form against the schema.

    Raises:
        Invalid: the message names the field and says what the specification allows there.
    """
    error: Any = next(cast("Any", _validator()).iter_errors(form), None)
    if error is None:
        return
    told = error.schema["errorMessage"]
    problem = told if isinstance(told, str) else told.get(error.validator, told.get(""))
    match [*error.absolute_schema_path]:
        case ["properties", "properties", "propertyNames", *_]:
            raise refused(error.instance, problem)
        case ["properties", "properties", "additionalProperties", *_]:
            place = error.absolute_path
            raise refused(place[1], problem.format(keyword=place[-1]))
        case _:
            raise Invalid(f"{problem}.")


def refused(field: str, problem: str) -> Invalid:
    """Return the refusal of a form because of one field."""
    return Invalid(f"form field {visible(field)[:60]!r} {problem}.")


@cache
def _validator() -> "Draft202012Validator":
    # Imported late: it takes three times as long as all the rest of this module's imports.
    from jsonschema import Draft4Validator, Draft202012Validator, FormatChecker, validators

    formats = FormatChecker(formats=())
    formats.checks("plain-text")(_is_plain)
    formats.checks("re2")(_is_pattern)
    # As in draft 4, 1.0 is no integer: a limit goes on to clients, and not every one would read it as a count.
    types = Draft4Validator.TYPE_CHECKER
    extended = cast("Any", validators).extend(Draft202012Validator, {"byType": _by_type}, type_checker=types)
    return extended(FORM, format_checker=formats)


def _is_plain(text: object) -> bool:
    return isinstance(text, str) and visible(text) == text


def _is_pattern(pattern: object) -> bool:
    return is_small(pattern)


def _by_type(validator: Any, schemas: JsonObject, field: JsonObject, _schema: object) -> Iterator["ValidationError"]:
    yield from validator.descend(field, schemas[field["type"]])
