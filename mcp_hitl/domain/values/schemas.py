"""JSON Schema (2020-12), with messages that say what was expected and never repeat the input."""

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.dialect import check_dialect, formats, validators
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.same_object import Same

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

_MOST_MISTAKES = 5
_MOST_COUNTED = 1_000
"""The most mistakes that are looked for: each takes a thousand times the memory of what is wrong."""
_FORMATS = {
    "email": "an e-mail address",
    "uri": "a URI such as https://example.com/",
    "date": "a date such as 2026-11-22",
    "date-time": "a date and time such as 2026-11-22T12:00:00Z",
}
_TYPES = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def check_against(schema: JsonObject, value: object, *, what: str) -> None:
    """Check `value` against `schema`.

    Raises:
        Invalid: the message lists up to five mistakes, each with its place (starting at `what`) and what was expected.
    """
    found = cast("Any", _validator(Same(schema))).iter_errors(value)
    errors: list[ValidationError] = sorted(islice(found, _MOST_COUNTED), key=lambda error: str(error.json_path))
    if errors:
        mistakes = [f"{_place(what, error)} {_expectation(error)}" for error in errors[:_MOST_MISTAKES]]
        rest = len(errors) - len(mistakes)
        least = "at least " if len(errors) == _MOST_COUNTED else ""
        raise Invalid("; ".join(mistakes) + (f"; and {least}{rest} more" if rest else "") + ".")


def satisfies(schema: JsonObject, value: object) -> bool:
    """Return True if `value` satisfies `schema`.

    Raises:
        Invalid: the schema cannot be applied.
    """
    return bool(cast("Any", _validator(Same(schema))).is_valid(value))


@lru_cache(maxsize=256)
def _validator(schema: Same[JsonObject]) -> "Draft202012Validator":
    check_dialect(schema.it)
    return validators()(schema.it, format_checker=formats())


def _place(what: str, error: "ValidationError") -> str:
    path = [str(part) if isinstance(part, str) else f"[{part}]" for part in error.absolute_path]
    return ".".join([what, *path]).replace(".[", "[") if path else what


def _expectation(error: "ValidationError") -> str:
    expected: Any = error.validator_value
    match error.validator:
        case "type":
            names = [expected] if isinstance(expected, str) else expected
            return "must be " + " or ".join(_TYPES.get(name, name) for name in names)
        case "required":
            # The validator reports each missing name as an error of its own and says which only in its message.
            missing = [name for name in expected if name not in error.instance and repr(name) in error.message]
            return f"lacks the field {missing[0]!r}" if missing else "lacks a required field"
        case "additionalProperties" | "unevaluatedProperties":
            return "has a field that is not allowed here"
        case "enum":
            return "must be one of " + ", ".join(repr(option) for option in expected)
        case "const":
            return f"must be {expected!r}"
        case "format":
            return f"must be {_FORMATS.get(expected, f'in the format {expected}')}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            return {
                "minimum": f"must be at least {expected}",
                "exclusiveMinimum": f"must be greater than {expected}",
                "maximum": f"must be at most {expected}",
                "exclusiveMaximum": f"must be less than {expected}",
            }[error.validator]
        case "minLength":
            return "must not be empty" if expected == 1 else f"must have at least {expected} characters"
        case "maxLength":
            return f"must have at most {expected} characters"
        case "minItems" | "maxItems":
            return f"must have at {'least' if error.validator == 'minItems' else 'most'} {expected} items"
        case "uniqueItems":
            return "must not list anything twice"
        case "pattern":
            return f"must match the pattern {expected}"
        case "anyOf" | "oneOf":
            return "must be one of the options that the schema allows"
        case _:
            return f"does not satisfy the schema's {error.validator!r}"
