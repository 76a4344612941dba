"""What people read of a payload: the fields of a title, and the secrets that are kept out of it."""

import string

from mcp_hitl.config.conditions import walk
from mcp_hitl.config.mistakes import Mistakes, inside, unknown
from mcp_hitl.domain.canonical import JsonObject


def check_title(title: str, schema: JsonObject, place: str, mistakes: Mistakes) -> None:
    """Note the fields that a title cannot show: unknown ones, and secrets (THREATS T36)."""
    properties: JsonObject = schema.get("properties", {})
    try:
        fields = [(name, spec, how) for _, name, spec, how in string.Formatter().parse(title) if name is not None]
    except ValueError:
        mistakes.add(place, "must have fields such as {amount}; a brace that is meant as such is written twice")
        return
    for name, spec, conversion in fields:
        if spec or conversion:
            mistakes.add(place, f"must hold fields as plain {{name}}, without ':' or '!': {name!r}")
        if name not in properties:
            mistakes.add(place, f"{{{name}}} {unknown(name, properties, 'field under properties of the schema')}")
        elif any(part.get("writeOnly") is True for _, part in walk(properties[name])):
            mistakes.add(place, f"{{{name}}} must not stand in a title: the schema marks it writeOnly")


def check_secrets(schema: JsonObject, place: str, mistakes: Mistakes) -> None:
    """Note marks at places where they would not be found: only fields, and items of lists, are kept secret."""
    for path, part in walk(schema):
        if part.get("writeOnly") is True and not _on_the_way(path):
            mistakes.add(
                inside(place, *path, "writeOnly"), "must stand directly under properties or items, or it hides nothing"
            )


def _on_the_way(path: tuple[str | int, ...]) -> bool:
    rest = list(path)
    while rest:
        if rest[0] == "items":
            rest = rest[1:]
        elif rest[0] == "properties":
            rest = rest[2:]
        else:
            return False
    return True
