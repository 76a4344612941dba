"""JSON Schema (2020-12) as this program applies it: patterns are RE2's wherever they stand, formats are exact.

jsonschema matches patterns with Python's `re`, which can take years on a short text, and whose `\\d` matches the digits
of every script. Its formats take what their parsers take: a line feed at the end, or other digits in a UUID. And it
compares each item of a list with each other one, which takes a minute for 64 KiB of small objects.
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

from mcp_hitl.domain.values.canonical import JsonObject, rfc8785_form
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.patterns import SUPPORTED, is_linear, matches
from mcp_hitl.domain.values.subschemas import Path, walk

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import ValidationError

_ASCII = frozenset({"date", "date-time", "time", "uuid", "uri", "uri-reference", "ipv4", "ipv6"})
"""Formats whose standards know neither other letters than ASCII's nor line feeds."""


def check_dialect(schema: JsonObject) -> None:
    """Refuse a schema that this program cannot apply.

    Raises:
        Invalid: the message names the place and what must be there.
    """
    for path, expected in unsupported(schema):
        raise Invalid(f"The schema cannot be checked: {'.'.join(map(str, path))} {expected}.")


def unsupported(schema: JsonObject) -> Iterator[tuple[Path, str]]:
    """Yield the path of everything that this program cannot apply, with what must be there instead."""
    parts = list(walk(schema))
    by_pattern = any("patternProperties" in part for _, part in parts)
    for path, part in parts:
        patterns = [((*path, "pattern"), part["pattern"])] if "pattern" in part else []
        patterns += [((*path, "patternProperties"), name) for name in part.get("patternProperties", {})]
        yield from ((where, f"must be {SUPPORTED}") for where, pattern in patterns if not is_linear(pattern))
        if by_pattern and "unevaluatedProperties" in part:
            yield (*path, "unevaluatedProperties"), "must be additionalProperties in a schema with patternProperties"


@cache
def validators() -> "type[Draft202012Validator]":
    """Return the class of all validators: making it takes many times as long as making a validator."""
    # Imported late: most commands of the terminal check nothing, and this takes as long as all their own code.
    from jsonschema import Draft202012Validator
    from jsonschema import validators as made

    keywords = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    return cast("Any", made).extend(Draft202012Validator, keywords)


@cache
def formats() -> "FormatChecker":
    """Return the formats that are checked."""
    from jsonschema import Draft202012Validator, FormatChecker

    known: Any = Draft202012Validator.FORMAT_CHECKER
    checker = FormatChecker(formats=())
    for name in known.checkers:
        checker.checks(name)(partial(_fits, known, name))
    checker.checks("regex")(_is_regex)
    return checker


def _fits(known: Any, name: str, value: object) -> bool:
    exact = name not in _ASCII or not isinstance(value, str) or (value.isascii() and value.isprintable())
    return exact and known.conforms(value, name)


def _is_regex(value: object) -> bool:
    return not isinstance(value, str) or is_linear(value)


def _pattern(_validator: object, pattern: str, instance: object, _schema: object) -> Iterator["ValidationError"]:
    from jsonschema.exceptions import ValidationError

    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError("does not match")


def _pattern_properties(
    validator: Any, patterns: JsonObject, instance: object, _schema: object
) -> Iterator["ValidationError"]:
    if isinstance(instance, dict):
        for pattern, schema in patterns.items():
            for name, value in cast("JsonObject", instance).items():
                if matches(pattern, name):
                    yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, others: Any, instance: object, schema: JsonObject
) -> Iterator["ValidationError"]:
    from jsonschema.exceptions import ValidationError

    if not isinstance(instance, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in cast("JsonObject", instance).items():
        if name in named or any(matches(pattern, name) for pattern in patterns):
            continue
        if others is False:
            yield ValidationError("has others")
            return
        yield from validator.descend(value, others, path=name)


def _unique_items(_validator: object, wanted: bool, instance: object, _schema: object) -> Iterator["ValidationError"]:
    from jsonschema.exceptions import ValidationError

    if wanted and isinstance(instance, list):
        items = cast("list[object]", instance)
        if len({rfc8785_form(item) for item in items}) < len(items):
            yield ValidationError("has one twice")
