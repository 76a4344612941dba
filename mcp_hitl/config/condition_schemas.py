"""Checks JSON Schemas of a policy file: they must be valid, mean what they say, and be complete in themselves.

JSON Schema ignores anything that it does not know: a misspelt keyword, or a format that nobody checks. Here these are
mistakes. No reference leaves the schema, so nothing is ever fetched, and no reference leads in a circle.
"""

from typing import Any, cast

from mcp_hitl.config.mistakes import Mistakes, inside, unknown
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.dialect import formats, unsupported, validators
from mcp_hitl.domain.values.patterns import SUPPORTED
from mcp_hitl.domain.values.subschemas import ALSO, BESIDE, HOLDING, target, walk

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = frozenset(
    """type const enum minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern format
    minItems maxItems uniqueItems minContains maxContains minProperties maxProperties required dependentRequired
    title description default examples deprecated readOnly writeOnly $comment $ref $schema""".split()
)
_KEYWORDS = _PLAIN | HOLDING


def check_schema(schema: JsonObject, place: str, mistakes: Mistakes) -> bool:
    """Note the mistakes in a schema. Return True if there are none, so that the schema can be examined further."""
    before = len(mistakes.found)
    checker, checks = formats(), validators()
    errors = cast("Any", checks(checks.META_SCHEMA, format_checker=checker))
    for error in errors.iter_errors(schema):
        mistakes.add(inside(place, *error.absolute_path), _expectation(error))
    if len(mistakes.found) == before:
        for path, part in walk(schema):
            _check_part(schema, part, inside(place, *path), frozenset(checker.checkers), mistakes)
        for path, expected in unsupported(schema):
            mistakes.add(inside(place, *path), expected)
    if len(mistakes.found) == before and any(_circles(schema, part, ()) for _, part in walk(schema)):
        mistakes.add(place, "must not refer to itself, except inside a field or an item")
    return len(mistakes.found) == before


def _check_part(root: JsonObject, part: JsonObject, place: str, formats: frozenset[str], mistakes: Mistakes) -> None:
    for keyword in part:
        if keyword not in _KEYWORDS:
            mistakes.add(inside(place, keyword), unknown(keyword, _KEYWORDS, "keyword"))
    if part.get("$schema", _DIALECT) != _DIALECT:
        mistakes.add(inside(place, "$schema"), f"must be {_DIALECT}, or left out")
    if "format" in part and part["format"] not in formats:
        mistakes.add(
            inside(place, "format"), f"must be a supported format ({', '.join(sorted(formats))}), or use a pattern"
        )
    if "$ref" in part:
        _check_reference(root, part["$ref"], inside(place, "$ref"), mistakes)


def _check_reference(root: JsonObject, reference: str, place: str, mistakes: Mistakes) -> None:
    if reference != "#" and not reference.startswith("#/"):
        mistakes.add(place, "must stay in this schema ('#/$defs/…'): nothing is ever fetched")
    elif not any(found is target(root, reference) for _, found in walk(root)):
        mistakes.add(place, "must lead to a schema in this schema")


def _circles(root: JsonObject, part: Any, under: tuple[int, ...]) -> bool:
    """Return True if checking a value would never end, because its schema leads back to itself for the same value."""
    if not isinstance(part, dict):
        return False
    part = cast("JsonObject", part)
    if id(part) in under:
        return True
    same = [schema for keyword in BESIDE for schema in part.get(keyword, [])]
    same += [part[keyword] for keyword in ALSO if keyword in part]
    same += part.get("dependentSchemas", {}).values()
    if "$ref" in part:
        same.append(target(root, part["$ref"]))
    return any(_circles(root, schema, (*under, id(part))) for schema in same)


def _expectation(error: Any) -> str:
    expected = error.validator_value
    match error.validator:
        case "type":
            names = [expected] if isinstance(expected, str) else expected
            words = {"object": "a table", "array": "a list", "boolean": "true or false", "string": "text"}
            return "must be " + " or ".join(words.get(name, f"a {name}") for name in names)
        case "anyOf":
            return "must be 'array', 'boolean', 'integer', 'null', 'number', 'object' or 'string', or a list of these"
        case "format":
            return f"must be {SUPPORTED}" if expected == "regex" else f"must be valid as {expected}"
        case "minimum" | "exclusiveMinimum":
            return f"must be {'at least' if error.validator == 'minimum' else 'greater than'} {expected}"
        case "minItems":
            return "must not be empty"
        case "uniqueItems":
            return "must not list anything twice"
        case _:
            return "must be valid JSON Schema 2020-12"
