"""Fields that a kind's schema marks `writeOnly`: shown to the approvers, and nowhere else (THREATS T36)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from mcp_hitl.domain.values.subschemas import walk
from mcp_hitl.domain.values.text import visible

REDACTED = "[redacted]"
HIDING = frozenset({"properties", "items"})
"""The keywords along which a mark takes effect."""
_LONG_LINE = 8
"""A line of a secret of several lines, such as a key, is a secret too if it has that many characters."""


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


def secrets_in(schema: Mapping[str, Any], payload: Any) -> set[str]:
    """Return the texts and numbers at the marked places of a payload."""
    if schema.get("writeOnly") is True:
        return set(_leaves(payload))
    if isinstance(payload, dict):
        properties = _mapping(schema.get("properties"))
        held = cast("dict[str, Any]", payload).items()
        return {one for name, value in held for one in secrets_in(_mapping(properties.get(name)), value)}
    if isinstance(payload, list):
        items = _mapping(schema.get("items"))
        return {one for value in cast("list[Any]", payload) for one in secrets_in(items, value)}
    return set()


def without(secrets: Iterable[str], text: str) -> str:
    """Return a text in which none of the secrets stands any more. Cut it afterwards: half a secret is not found."""
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    return text


def _forms(secret: str) -> set[str]:
    """Return how a secret may stand in a text: as it is, line by line, and as Python, JSON and we quote it."""
    lines = [line for line in secret.splitlines() if len(line) >= _LONG_LINE]
    return {
        form
        for part in (secret, *lines)
        for form in (
            part,
            visible(part),
            repr(part)[1:-1],
            repr(part.encode(errors="replace"))[2:-1],
            json.dumps(part)[1:-1],
            json.dumps(part, ensure_ascii=False)[1:-1],
        )
    }


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        parts = cast("dict[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        for part in parts:
            yield from _leaves(part)
    elif value not in (None, True, False, ""):
        yield str(value)


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
