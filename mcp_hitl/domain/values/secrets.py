"""Fields that a kind's schema marks `writeOnly`: shown to the approvers, and nowhere else (THREATS T36)."""

from collections.abc import Mapping
from typing import Any, cast

from mcp_hitl.domain.values.subschemas import walk

REDACTED = "[redacted]"
HIDING = frozenset({"properties", "items"})
"""The keywords along which a mark takes effect."""


def has_secrets(schema: Mapping[str, Any]) -> bool:
    """Return True if a schema marks any field."""
    return any(part.get("writeOnly") is True for _, part in walk(dict(schema), along=HIDING))


def redacted(schema: Mapping[str, Any], payload: Any) -> Any:
    """Return the payload with every marked value replaced; a payload without marked fields is unchanged."""
    if schema.get("writeOnly") is True:
        return REDACTED
    if isinstance(payload, dict):
        properties = _mapping(schema.get("properties"))
        held = cast("dict[str, Any]", payload)
        return {name: redacted(_mapping(properties.get(name)), value) for name, value in held.items()}
    if isinstance(payload, list):
        items = _mapping(schema.get("items"))
        return [redacted(items, item) for item in cast("list[Any]", payload)]
    return payload


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
