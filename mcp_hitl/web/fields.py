"""The fields of an approval's form, and of a payload that is edited: into a page, and back from what was posted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import quote, unquote

from mcp_hitl.domain.policy import forms
from mcp_hitl.domain.policy.forms import Field
from mcp_hitl.domain.values import strict_json
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.secrets import has_secrets
from mcp_hitl.domain.values.text import has_twins, json_lines, visible
from mcp_hitl.web.descriptions import told_name

ANSWER = "answer."
_TEXT, _JSON = "text.", "json."
Posted = Sequence[tuple[str, str]]


def answers(form: JsonObject | None, posted: Posted) -> JsonObject | None:
    """The answer that the posted fields give to a form; what was left empty is left out.

    Raises:
        Invalid: a number that is none, or a field that was answered twice.
    """
    if form is None:
        return None
    found: JsonObject = {}
    for field in forms.fields_of(form):
        given = [value for name, value in posted if name == ANSWER + field.name]
        value = _answer(field, given)
        if value is not None:
            found[field.name] = value
    return found


def _answer(field: Field, given: list[str]) -> Any:
    if field.type == "array":
        return given or ([] if field.required else None)
    if len(given) > 1:
        raise Invalid(f"{field.label} is answered twice. Answer it once.")
    text = _lines(given[0]) if given else ""
    if text == "" and not (field.type == "string" and field.required and given):
        return None
    match field.type:
        case "number" | "integer":
            return forms.number_typed(field, text)
        case "boolean":
            return {"true": True, "false": False}.get(text)
        case _:
            return text


@dataclass(frozen=True, slots=True)
class Input:
    """One field of the payload as an editor shows it: plain text where that loses nothing, else its JSON."""

    name: str
    label: str
    posted_as: str
    text: str
    rows: int
    hint: str
    choices: tuple[str, ...] = ()
    told: str = ""
    """The name as it is told from every other."""


def inputs(payload: JsonObject, schema: Mapping[str, Any]) -> list[Input]:
    """An input for every field of the payload, and for those that its schema knows beside them."""
    properties: JsonObject = {}
    if isinstance(schema.get("properties"), dict):
        properties = cast("JsonObject", schema["properties"])
    absent = [name for name in properties if name not in payload]
    found = [_input(name, payload[name], properties.get(name)) for name in payload] + [
        _empty(name, properties[name]) for name in absent
    ]
    exact = has_twins(dict.fromkeys(one.name for one in found))
    return [replace(_marked(one, properties.get(one.name)), told=told_name(one.name, exact=exact)) for one in found]


def edited(payload: JsonObject, posted: Posted) -> JsonObject:
    """The payload as the posted inputs make it; one that was empty and absent stays absent.

    Raises:
        Invalid: JSON that is none, with the field's name, or a field that was posted twice.
    """
    wanted = dict(payload)
    inputs = [name for name, _ in posted if name.startswith((_TEXT, _JSON))]
    if len({unquote(name.partition(".")[2]) for name in inputs}) < len(inputs):
        raise Invalid("A field of the payload occurs twice. Send each of them once.")
    for name, text in posted:
        field = unquote(name.partition(".")[2])
        if name.startswith(_TEXT):
            _put(wanted, payload, field, _lines(text), text == "")
        elif name.startswith(_JSON):
            if text.strip() == "":
                wanted.pop(field, None)
            else:
                wanted[field] = strict_json.parse(text, what=visible(field)[:60])
    return wanted


def whole(text: str) -> JsonObject:
    """A payload that was edited as one piece of JSON.

    Raises:
        Invalid: it is not an object.
    """
    value: Any = strict_json.parse(text, what="payload")
    if not isinstance(value, dict):
        raise Invalid("The payload must be a JSON object.")
    return cast("JsonObject", value)


def _put(wanted: JsonObject, payload: JsonObject, name: str, text: str, empty: bool) -> None:
    if empty and name not in payload:
        return
    wanted[name] = text


def _input(name: str, value: Any, schema: Any) -> Input:
    label = _label(name, schema)
    if isinstance(value, str) and "\r" not in value and visible(value, keep="\n") == value:
        rows = min(12, value.count("\n") + 1 + len(value) // 80)
        return Input(name, label, _posted(_TEXT, name), value, rows, _hint(schema, "text"))
    if isinstance(value, bool):
        return Input(name, label, _posted(_JSON, name), json.dumps(value), 1, "", ("true", "false"))
    text = json_lines(value)
    return Input(name, label, _posted(_JSON, name), text, min(20, text.count("\n") + 1), _hint(schema, "JSON"))


def _empty(name: str, schema: Any) -> Input:
    kind: Any = cast("JsonObject", schema).get("type") if isinstance(schema, dict) else None
    prefix = _TEXT if kind == "string" else _JSON
    return Input(name, _label(name, schema), _posted(prefix, name), "", 1, "not given; leave it empty to keep it so")


def _marked(one: Input, schema: Any) -> Input:
    secret = isinstance(schema, dict) and has_secrets(cast("JsonObject", schema))
    return replace(one, hint=f"{one.hint}, secret" if one.hint else "secret") if secret else one


def _posted(prefix: str, name: str) -> str:
    """What an input is called: escapes, which pages show for what deceives, would come back as another name."""
    return prefix + quote(name, safe=" ")


def _label(name: str, schema: Any) -> str:
    title: Any = cast("JsonObject", schema).get("title") if isinstance(schema, dict) else None
    return title if isinstance(title, str) and title else name


def _hint(schema: Any, usual: str) -> str:
    kind: Any = cast("JsonObject", schema).get("type") if isinstance(schema, dict) else None
    return kind if isinstance(kind, str) and usual == "JSON" else ("" if usual == "text" else usual)


def _lines(text: str) -> str:
    """Line ends as they were before the browser made them its own."""
    return text.replace("\r\n", "\n")
