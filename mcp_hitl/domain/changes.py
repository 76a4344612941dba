"""What an edit changed, field by field."""

from typing import Any, cast

from mcp_hitl.domain.canonical import JsonObject


def changes(before: Any, after: Any, place: str = "") -> list[JsonObject]:
    """`[{field, before, after}]` wherever two payloads differ; None stands for absent as well as for null."""
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        names = dict.fromkeys([*old, *new])
        return [
            change
            for name in names
            for change in changes(old.get(name), new.get(name), f"{place}.{name}" if place else name)
        ]
    if before == after and isinstance(before, bool) == isinstance(after, bool):
        return []
    return [{"field": place or "payload", "before": before, "after": after}]
