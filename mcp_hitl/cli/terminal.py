"""Shows text to the person at the terminal and asks questions."""

import os
import signal
import sys
from typing import Any, TextIO, cast

import click

from mcp_hitl.cli.widths import fold
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.policy.forms import Field, fields_of, number_typed
from mcp_hitl.domain.values import strict_json
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid, NeedsPerson
from mcp_hitl.domain.values.text import in_order, indented, json_lines, visible


def require_terminal(
    otherwise: str = "A person has to decide this at a terminal, and there is none here. Nothing was decided.",
) -> None:
    """Refuse with the message `otherwise` if no person can read and type here.

    Raises:
        NeedsPerson: input or output is not a terminal.
    """
    streams = (cast("TextIO | None", stream) for stream in (sys.stdin, sys.stderr))
    if not all(stream is not None and stream.isatty() for stream in streams):
        raise NeedsPerson(otherwise)


def say(text: str = "", *, folds: bool = False) -> None:
    """Print text for the person on stderr, apart from the command's output; see `_folded` for text from others."""
    click.echo(in_order(_folded(text, sys.stderr) if folds else text), err=True)


def tell(text: str, *, folds: bool = False) -> None:
    """Print the command's own output for people on stdout; see `_folded` for text from others."""
    click.echo(in_order(_folded(text, sys.stdout) if folds else text))


def _folded(text: str, stream: TextIO) -> str:
    """Return text in lines that are no longer than the terminal is wide (THREATS T25).

    Where the terminal itself breaks a line, the next one begins where ours do, and could pass for one. Commands and
    links of our own are not folded, so that they can be copied.
    """
    try:
        columns = os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):
        return text
    return "\n".join(piece for line in text.split("\n") for piece in fold(line, columns)) if columns else text


def confirm(question: str) -> bool:
    """Ask a question. Anything but y or yes counts as no."""
    return _typed(f"{question} [y/N]").lower() in {"y", "yes"}


def fill_in(approval: Approval) -> JsonObject | None:
    """Ask for each field of the approval's form until it is valid. Returns None if there is no form."""
    if approval.form is None:
        return None
    answers = {field.name: _ask(field) for field in fields_of(approval.form)}
    return {name: value for name, value in answers.items() if value is not None}


def revise(payload: JsonObject, changes: tuple[str, ...], text: str | bytes | None) -> JsonObject | None:
    """Return the new payload from `FIELD=VALUE` changes, a file's text, or the editor. None if it was not changed.

    Raises:
        Invalid: the input is not a JSON object.
    """
    if text is None and not changes:
        text = click.edit(json_lines(payload) + "\n", extension=".json")
        if text is None:
            return None
    wanted: Any = payload if text is None else strict_json.parse(text, what="payload")
    if not isinstance(wanted, dict):
        raise Invalid("The payload must be a JSON object.")
    return dict(cast("JsonObject", wanted)) | _set(changes)


def _set(changes: tuple[str, ...]) -> JsonObject:
    """Return the fields that `FIELD=VALUE` changes set: to JSON, or else to the text itself."""
    found: JsonObject = {}
    for change in changes:
        name, separator, value = change.partition("=")
        if not separator or not name:
            raise Invalid("Give each change as FIELD=VALUE.")
        if name in found:
            raise Invalid(f"{visible(name)[:60]} is set twice. Set each field once.")
        try:
            found[name] = strict_json.parse(value, what="the value")
        except strict_json.Twice:
            raise
        except Invalid:
            found[name] = value
    return found


def _ask(field: Field) -> Any:
    if description := field.schema.get("description"):
        say(indented(visible(description)), folds=True)
    for number, choice in enumerate(field.choices, start=1):
        value = f"  [{choice.value}]" if choice.title != choice.value else ""
        say(f"  {number}) {choice.title}{value}", folds=True)
    while True:
        typed = _typed(_folded(_label(field), sys.stderr))
        if not typed:
            if "default" in field.schema:
                return field.schema["default"]
            if not field.required:
                return None
        try:
            value = _value(field, typed)
            field.check(value)
        except Invalid as mistake:
            say(f"  {mistake}", folds=True)
        else:
            return value


def _typed(prompt: str) -> str:
    """Return the typed line. Aborts on an interrupt or the end of input."""
    # The event loop makes a cancellation of an interrupt, which does not reach somebody who is blocked in reading.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.prompt(in_order(prompt), default="", show_default=False, err=True).strip()
    finally:
        signal.signal(signal.SIGINT, before)


def _label(field: Field) -> str:
    hints = {
        "number": "number",
        "integer": "whole number",
        "boolean": "y/n",
        "array": "numbers of your choices, separated by commas",
        "string": "number of your choice" if field.choices else field.schema.get("format", ""),
    }
    words = [hints[field.type], "" if field.required else "optional"]
    if "default" in field.schema:
        words.append(f"Enter for {_as_typed(field, field.schema['default'])}")
    told = ", ".join(word for word in words if word)
    return f"{field.label} ({told})" if told else field.label


def _as_typed(field: Field, default: Any) -> str:
    """Return a default as the person would type it. Options are shown by number and title."""
    values = [choice.value for choice in field.choices]
    match default:
        case bool():
            return "y" if default else "n"
        case list():
            numbers = sorted(values.index(value) + 1 for value in cast("list[str]", default))
            return ", ".join(map(str, numbers)) or "none"
        case str() if values:
            number = values.index(default)
            return f"{number + 1}) {field.choices[number].title}"
        case _:
            return visible(str(default)) or "nothing"


def _value(field: Field, typed: str) -> Any:
    match field.type:
        case "number" | "integer":
            return number_typed(field, typed)
        case "boolean":
            answers = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}
            if typed.lower() not in answers:
                raise Invalid(f"{field.label} must be y or n.")
            return answers[typed.lower()]
        case "array":
            return [_chosen(field, part.strip()) for part in typed.split(",") if part.strip()]
        case _:
            return _chosen(field, typed) if field.choices else typed


def _chosen(field: Field, typed: str) -> str:
    """Return the choice with this number or value."""
    numbered = {str(number): choice.value for number, choice in enumerate(field.choices, start=1)}
    return numbered.get(typed, typed)
