"""Fields that a kind's schema marks `writeOnly`: shown to the approvers, and nowhere else (THREATS T36)."""

from collections.abc import Mapping
from typing import Any, cast

REDACTED = "[redacted]"


def has_secrets(schema: Mapping[str, Any]) -> bool:
    """Return True if a schema marks any field."""
    if schema.get("writeOnly") is True:
        return True
    parts: list[object] = [*_mapping(schema.get("properties")).values(), schema.get("items")]
    return any(has_secrets(cast("dict[str, Any]", part)) for part in parts if isinstance(part, dict))


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
