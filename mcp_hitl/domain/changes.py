"""What an edit changed, field by field."""

from collections.abc import Mapping
from typing import Any, cast

from mcp_hitl.domain.canonical import JsonObject

_ABSENT = object()


def changes(before: Any, after: Any, place: str = "") -> list[JsonObject]:
    """`[{field, before, after}]` wherever two payloads differ; None stands for absent as well as for null.

    Where the one is absent and the other null, both are None: even that is another payload, and no change is left out.
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


def named(before: JsonObject, after: JsonObject, schema: Mapping[str, Any]) -> JsonObject:
    """`{fields, others}` for the log: which changed fields the schema names at the top level, and how many it does not.

    What it does not name may be a content itself, such as the keys by which people are found in an object, or a secret.
    """
    changed = {name for name in {*before, *after} if not _same(before.get(name, _ABSENT), after.get(name, _ABSENT))}
    fields = sorted(changed & {*schema.get("properties", {})})
    return {"fields": fields, "others": len(changed) - len(fields) or None}


def _told(value: Any) -> Any:
    return None if value is _ABSENT else value


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one in JSON, where true is not 1: Python would call [1] and [true] equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        mine, theirs = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        return mine.keys() == theirs.keys() and all(_same(value, theirs[name]) for name, value in mine.items())
    if isinstance(one, list) and isinstance(other, list):
        these, those = cast("list[Any]", one), cast("list[Any]", other)
        return len(these) == len(those) and all(map(_same, these, those))
    return isinstance(one, bool) == isinstance(other, bool) and one == other
