"""The changes that an edit made, field by field."""

from collections.abc import Mapping
from typing import Any, cast

from mcp_hitl.domain.values.canonical import JsonObject

_ABSENT = object()


def changes(before: Any, after: Any, place: str = "") -> list[JsonObject]:
    """Return `[{field, before, after}]` for every place where two payloads differ; None means absent or null.

    If a field is absent in one and null in the other, both are None. The payloads differ, so the change is listed.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        names = dict.fromkeys([*old, *new])
        return [
            change
            for name in names
            for change in changes(old.get(name, _ABSENT), new.get(name, _ABSENT), f"{place}.{name}" if place else name)
        ]
    if _same(before, after):
        return []
    return [{"field": place or "payload", "before": _told(before), "after": _told(after)}]


def named(before: JsonObject, after: JsonObject, schema: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """Return for the log the changed top-level fields that the schema names, and the number of other changed fields.

    A field name that the schema does not know may itself be content, such as the name of a person, or a secret.
    """
    changed = {name for name in {*before, *after} if not _same(before.get(name, _ABSENT), after.get(name, _ABSENT))}
    fields = sorted(changed & {*schema.get("properties", {})})
    return tuple(fields), len(changed) - len(fields)


def _told(value: Any) -> Any:
    return None if value is _ABSENT else value


def _same(one: Any, other: Any) -> bool:
    """Return True if two values are equal in JSON, where true is not 1. Python would call [1] and [true] equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        mine, theirs = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        return mine.keys() == theirs.keys() and all(_same(value, theirs[name]) for name, value in mine.items())
    if isinstance(one, list) and isinstance(other, list):
        these, those = cast("list[Any]", one), cast("list[Any]", other)
        return len(these) == len(those) and all(map(_same, these, those))
    return isinstance(one, bool) == isinstance(other, bool) and one == other
