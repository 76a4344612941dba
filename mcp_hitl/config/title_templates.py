"""Checks what people read of a payload: the fields of a title, and secrets, which must not be shown."""

import string

from mcp_hitl.config.mistakes import Mistakes, inside, unknown
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.secrets import HIDING
from mcp_hitl.domain.values.subschemas import HOLDING, Path, walk

_SHOWN = "must not be in a title: the schema marks it writeOnly"


def check_title(title: str, schema: JsonObject, place: str, mistakes: Mistakes) -> None:
    """Note fields that a title cannot show: unknown ones, and secrets (THREATS T36)."""
    properties: JsonObject = schema.get("properties", {})
    try:
        fields = [(name, spec, how) for _, name, spec, how in string.Formatter().parse(title) if name is not None]
    except ValueError:
        mistakes.add(place, "must have fields such as {amount}; write a literal brace twice")
        return
    for name, spec, conversion in fields:
        if spec or conversion:
            mistakes.add(place, f"must have fields as plain {{name}}, without ':' or '!': {name!r}")
        if name not in properties:
            mistakes.add(place, f"{{{name}}} {unknown(name, properties, 'field under properties of the schema')}")
        elif _is_secret(properties[name]):
            mistakes.add(place, f"{{{name}}} {_SHOWN}")


def check_secrets(schema: JsonObject, place: str, mistakes: Mistakes) -> None:
    """Note marks at places where they have no effect: only fields, and items of lists, can be kept secret."""
    reached = {path for path, _ in walk(schema, along=HIDING)}
    hidden: list[Path] = []
    for path, part in walk(schema):
        if not isinstance(part.get("writeOnly", False), bool):
            mistakes.add(inside(place, *path, "writeOnly"), "must be true or false, otherwise it hides nothing")
        if part.get("writeOnly") is not True or any(path[: len(one)] == one for one in hidden):
            continue
        if path in reached:
            hidden.append(path)
        else:
            mistakes.add(
                inside(place, *path, "writeOnly"),
                "must be directly under properties or items, otherwise it hides nothing",
            )


def check_hidden(kind: Kind) -> None:
    """Refuse a program's own kind if it would show a field that its schema marks as secret (THREATS T36).

    Raises:
        Invalid: the message names the places of the marks.
    """
    mistakes = Mistakes()
    check_secrets(kind.schema, "schema", mistakes)
    for _, name, _, _ in string.Formatter().parse(kind.title or ""):
        if _is_secret(kind.schema.get("properties", {}).get(name)):
            mistakes.add("title", f"{{{name}}} {_SHOWN}")
    if mistakes.found:
        told = "; ".join(str(mistake) for mistake in mistakes.found)
        raise Invalid(f"The kind {kind.name!r} would show secrets. {told}.")


def hiding(schema: JsonObject) -> JsonObject:
    """Return the schema of a function's arguments, with each argument marked `writeOnly` that may hold a secret."""
    named: JsonObject = schema.get("properties", {})
    properties = {name: part | {"writeOnly": True} if _is_secret(part) else part for name, part in named.items()}
    return schema | {"properties": properties} if properties else schema


def check_kept(kind: Kind, taken: JsonObject) -> None:
    """Refuse a kind that would show what its function or flow takes as a secret (THREATS T36).

    `taken` is the schema of what it takes. Inside a model, a mark is found by the names of the last fields.

    Raises:
        Invalid: the message names the fields to mark.
    """
    hidden = [path for path, part in walk(kind.schema, along=HIDING) if part.get("writeOnly") is True]
    shown: dict[str, None] = {}
    for path, part in walk(taken):
        named = path[2:] if path[0:1] == ("$defs",) else path
        if part.get("writeOnly") is True and not any(
            named[: len(one)] == one or (named is not path and one[-len(named) :] == named) for one in hidden
        ):
            shown[str(next((one for one in reversed(named) if one not in HOLDING), "payload"))] = None
    if shown:
        raise Invalid(
            f"The kind {kind.name!r} would show secrets: mark {', '.join(shown)} with writeOnly = true in its schema."
        )


def _is_secret(schema: object) -> bool:
    return any(part.get("writeOnly") is True for _, part in walk(schema))
