"""The schemas inside a JSON Schema (2020-12), with their paths, and the targets of its references."""

from collections.abc import Collection, Iterator
from typing import Any, cast

from mcp_hitl.domain.values.canonical import JsonObject

Path = tuple[str | int, ...]

BESIDE = frozenset({"allOf", "anyOf", "oneOf"})
"""Keywords with a list of schemas for the same value."""
ALSO = frozenset({"not", "if", "then", "else"})
"""Keywords with one schema for the same value."""
_BELOW = frozenset(
    {"items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties"}
)
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
_LISTED = BESIDE | {"prefixItems"}
HOLDING = ALSO | _BELOW | _NAMED | _LISTED
"""Every keyword that holds schemas."""


def walk(schema: Any, *, along: Collection[str] = HOLDING, path: Path = ()) -> Iterator[tuple[Path, JsonObject]]:
    """Yield every schema in `schema`, itself first, with its path; `along` names the keywords to follow."""
    if not isinstance(schema, dict):
        return
    schema = cast("JsonObject", schema)
    yield path, schema
    for keyword, value in schema.items():
        if keyword not in along:
            continue
        if keyword in _NAMED and isinstance(value, dict):
            parts = [((keyword, name), part) for name, part in cast("JsonObject", value).items()]
        elif keyword in _LISTED and isinstance(value, list):
            parts = [((keyword, index), part) for index, part in enumerate(cast("list[Any]", value))]
        else:
            parts = [((keyword,), value)]
        for step, part in parts:
            yield from walk(part, along=along, path=(*path, *step))


def target(root: JsonObject, reference: str) -> Any:
    """Return the target of `#` or `#/…` in `root`, or None if there is none."""
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and len(name) < 6:
            held = cast("list[Any]", found)
            found = held[int(name)] if int(name) < len(held) else None
        else:
            found = cast("JsonObject", found).get(name) if isinstance(found, dict) else None
    return found
