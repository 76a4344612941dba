"""Forms as a client can show them to a person, in the way of each protocol revision."""

from collections.abc import Collection

from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.text import in_order, visible

OLDEST_PROTOCOL = "2025-06-18"


def for_client(form: JsonObject, protocol: str, ours: Collection[str] = ()) -> JsonObject | None:
    """Return the form as a client on `protocol` can show it, or None if it cannot (several choices on 2025-06-18).

    Titles and descriptions have deceptive characters escaped and right-to-left letters isolated (THREATS T25). Names
    and values stay as they are; those that need it have a title for that. A choice with a title that is not its value
    shows the value after it, since the value is what the agent gets; the fields that are `ours` do without.
    """
    shown = {name: _titled(name) | _readable(schema, name in ours) for name, schema in form["properties"].items()}
    if protocol == OLDEST_PROTOCOL:
        if any(schema["type"] == "array" for schema in shown.values()):
            return None
        shown = {name: _as_of_2025_06_18(schema) for name, schema in shown.items()}
    return {"type": "object", "properties": shown, "required": form["required"]}


def _titled(name: str) -> JsonObject:
    """Return a title for a name that does not read in its order, for a field that has no title."""
    return {} if _told(name) == name else {"title": _told(name)}


def _readable(schema: JsonObject, ours: bool) -> JsonObject:
    shown: JsonObject = {k: _told(v) if k in {"title", "description"} else v for k, v in schema.items()}
    for keyword in ("oneOf", "anyOf"):
        if keyword in shown:
            shown[keyword] = [
                option | {"title": _choice(option["title"], option["const"], ours)} for option in shown[keyword]
            ]
    if pattern := shown.pop("pattern", None):  # no keyword of elicitation
        shown["description"] = f"{shown.get('description', '')} Must match the pattern {_told(pattern)}".strip()
    plain: list[str] = shown.get("enum", [])
    if "enumNames" not in shown and any(_told(value) != value for value in plain):
        options = [{"const": value, "title": _told(value)} for value in shown.pop("enum")]
        # Without a type, these are the items of a list, of which several can be chosen.
        shown["oneOf" if "type" in shown else "anyOf"] = options
    if "enumNames" in shown:
        shown["enumNames"] = [_choice(n, v, ours) for n, v in zip(shown["enumNames"], plain, strict=True)]
    if "items" in shown:
        items = {k: v for k, v in shown["items"].items() if k != "type"}
        shown["items"] = {"type": "string"} | _readable(items, ours)
        if "anyOf" in shown["items"]:
            del shown["items"]["type"]
    return shown


def _choice(title: str, value: str, ours: bool) -> str:
    return _told(title) if ours or title == value else f"{_told(title)} [{_told(value)}]"


def _told(text: str) -> str:
    return in_order(visible(text))


def _as_of_2025_06_18(schema: JsonObject) -> JsonObject:
    older = {k: v for k, v in schema.items() if k != "default" or schema["type"] == "boolean"}
    if options := older.pop("oneOf", None):
        older["enum"] = [option["const"] for option in options]
        older["enumNames"] = [option["title"] for option in options]
    return older
