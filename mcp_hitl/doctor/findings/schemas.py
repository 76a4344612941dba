"""Finds the places where a schema allows fields that it does not name."""

from collections.abc import Iterator
from typing import Any, cast

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.subschemas import target

_CLOSING = ("additionalProperties", "unevaluatedProperties")
_ELSEWHERE = ("allOf", "anyOf", "oneOf", "patternProperties", "propertyNames")
_DEEPEST = 8


def takes_anything(schema: JsonObject) -> bool:
    """Return True if a schema does not restrict the fields of its payload."""
    return not any(schema.get(keyword) for keyword in ("properties", "$ref", *_ELSEWHERE)) and not _closed([schema])


def open_places(schema: JsonObject, when: JsonObject) -> list[str]:
    """Return the paths of the objects that may have fields which neither schema names; a payload satisfies both.

    We follow `properties`, `items` and references inside `schema`, eight levels deep. At the top level, an object that
    other keywords close counts as open: in doubt, we report it.
    """
    return list(_open("payload", [_with_target(schema, schema), when], schema))


def _open(place: str, parts: list[JsonObject], root: JsonObject, depth: int = 0) -> Iterator[str]:
    if not _closed(parts):
        yield place
    for name in dict.fromkeys(name for part in parts for name in _table(part.get("properties"))):
        below = [_table(part.get("properties")).get(name) for part in parts]
        yield from _below(f"{place}.{name}", below, root, depth + 1)


def _below(place: str, parts: list[Any], root: JsonObject, depth: int) -> Iterator[str]:
    schemas = [_with_target(cast("JsonObject", part), root) for part in parts if isinstance(part, dict)]
    if depth > _DEEPEST or not schemas:
        return
    if all(_takes("object", schema) for schema in schemas):
        yield from _open(place, schemas, root, depth)
    if all(_takes("array", schema) for schema in schemas) and any("items" in schema for schema in schemas):
        yield from _below(f"{place}[]", [schema.get("items") for schema in schemas], root, depth + 1)


def _takes(kind: str, schema: JsonObject) -> bool:
    """Return True if `type`, `const` and `enum` allow a value of this type."""
    if any(keyword in schema for keyword in ("const", "enum", *_ELSEWHERE)) and "properties" not in schema:
        return False
    named = schema.get("type", kind)
    return kind == named or (isinstance(named, list) and kind in named)


def _closed(parts: list[JsonObject]) -> bool:
    return any(part.get(keyword) is False for part in parts for keyword in _CLOSING)


def _with_target(schema: JsonObject, root: JsonObject) -> JsonObject:
    """Return a schema merged with the target of its reference inside `root`."""
    pointer = schema.get("$ref")
    if not isinstance(pointer, str) or not pointer.startswith("#/"):
        return schema
    return _table(target(root, pointer)) | {key: value for key, value in schema.items() if key != "$ref"}


def _table(value: Any) -> JsonObject:
    return cast("JsonObject", value) if isinstance(value, dict) else {}
