"""The changes that an edit made, field by field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from mcp_hitl.domain.values.canonical import JsonObject

ABSENT = object()
"""What a field is in a payload that does not have it."""


@dataclass(frozen=True, slots=True)
class Change:
    """A place where two payloads differ, as the names on the way to it; each side is a JSON value or `ABSENT`."""

    path: tuple[str, ...]
    before: Any
    after: Any


def changes(before: Any, after: Any) -> list[JsonObject]:
    """Return `[{field, before, after}]` for every place where two payloads differ; None means absent or null.

    If a field is absent in one and null in the other, both are None. The payloads differ, so the change is listed.
    """
    return [
        {"field": ".".join(one.path) or "payload", "before": _told(one.before), "after": _told(one.after)}
        for one in differing(before, after)
    ]


def differing(before: Any, after: Any, path: tuple[str, ...] = ()) -> list[Change]:
    """Return every place where two payloads differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        names = dict.fromkeys([*old, *new])
        return [
            change
            for name in names
            for change in differing(old.get(name, ABSENT), new.get(name, ABSENT), (*path, name))
        ]
    return [] if _same(before, after) else [Change(path, before, after)]


def named(before: JsonObject, after: JsonObject, schema: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """Return for the log the changed top-level fields that the schema names, and the number of other changed fields.

    A field name that the schema does not know may itself be content, such as the name of a person, or a secret.
    """
    changed = {name for name in {*before, *after} if not _same(before.get(name, ABSENT), after.get(name, ABSENT))}
    fields = sorted(changed & {*schema.get("properties", {})})
    return tuple(fields), len(changed) - len(fields)


def _told(value: Any) -> Any:
    return None if value is ABSENT else value


def _same(one: Any, other: Any) -> bool:
    """Return True if two values are equal in JSON, where true is not 1. Python would call [1] and [true] equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        mine, theirs = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        return mine.keys() == theirs.keys() and all(_same(value, theirs[name]) for name, value in mine.items())
    if isinstance(one, list) and isinstance(other, list):
        these, those = cast("list[Any]", one), cast("list[Any]", other)
        return len(these) == len(those) and all(map(_same, these, those))
    return isinstance(one, bool) == isinstance(other, bool) and one == other
