"""Changes one member of a JSON file and keeps every other character."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.text import one_line

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_FIRST_INDENT = re.compile(r"\{[ \t\r]*\n([ \t]+)\"")


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    at: int
    """Where its value begins and ends."""
    end: int


class Document:
    """The text of a JSON file whose top is an object."""

    def __init__(self, text: str, what: str) -> None:
        """Read `text`, which messages call `what`. Blank text counts as an empty object.

        Raises:
            Invalid: it is not JSON, not an object, or has a key twice; with the place.
        """
        self.text = text if text.strip() else "{}\n"
        self._what = what
        self._start = _skip(self.text, 0)
        try:
            self.value: Any = json.loads(self.text, parse_constant=self._no_number)
            if not isinstance(self.value, dict):
                raise Invalid(f"{what} must be a JSON object. It was not changed.")
            self._check(self._start)
        except json.JSONDecodeError as error:
            raise Invalid(f"{what} is not JSON ({error.msg}, {_place(text, error.pos)}). It was not changed.") from None
        except (RecursionError, ValueError):
            raise Invalid(f"{what} cannot be read: it is nested too deeply, or a number is too long.") from None

    def with_member(self, path: tuple[str, str], value: object) -> str:
        """Return the text with `value` as the member `path[1]` of the object `path[0]`, which is added if missing.

        Raises:
            Invalid: `path[0]` is there and no object.
        """
        outer, inner = path
        held = self._find(self._start, outer)
        if held is None:
            return self._added(self._start, outer, {inner: value}, depth=1)
        if self.text[held.at] != "{":
            place = _place(self.text, held.at)
            raise Invalid(f"{self._what} has {outer!r}, which must be an object ({place}). It was not changed.")
        member = self._find(held.at, inner)
        if member is None:
            return self._added(held.at, inner, value, depth=2)
        return self.text[: member.at] + self._dumped(value, depth=2) + self.text[member.end :]

    def _added(self, at: int, name: str, value: object, *, depth: int) -> str:
        """Return the text with one more member at the end of the object that begins at `at`."""
        members = list(_members(self.text, at))
        newline, indent = self._style()
        before, after = (newline + indent * depth, newline + indent * (depth - 1)) if indent else ("", "")
        said = f"{before}{json.dumps(name)}:{' ' if indent else ''}{self._dumped(value, depth=depth)}"
        if members:
            end = members[-1].end
            return f"{self.text[:end]},{said}{self.text[end:]}"
        end = self.text.index("}", at)
        return f"{self.text[: at + 1]}{said}{after}{self.text[end:]}"

    def _dumped(self, value: object, *, depth: int) -> str:
        newline, indent = self._style()
        if not indent:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return json.dumps(value, indent=indent, ensure_ascii=False).replace("\n", newline + indent * depth)

    def _style(self) -> tuple[str, str]:
        """Return the file's line ending and indentation, which is empty if the file is one line."""
        newline = "\r\n" if "\r\n" in self.text else "\n"
        found = _FIRST_INDENT.search(self.text)
        if found:
            return newline, found[1]
        return newline, "" if self.value and "\n" not in self.text.strip() else "  "

    def _no_number(self, name: str) -> NoReturn:
        raise Invalid(f"{self._what} is not JSON: {name} is no number there. It was not changed.")

    def _find(self, at: int, name: str) -> _Member | None:
        return next((member for member in _members(self.text, at) if member.name == name), None)

    def _check(self, at: int) -> None:
        """Refuse a key that occurs twice in one object: readers disagree on which of them counts."""
        if self.text[at] == "{":
            seen: set[str] = set()
            for member in _members(self.text, at):
                if member.name in seen:
                    named, place = one_line(member.name, 60), _place(self.text, member.at)
                    raise Invalid(
                        f"{self._what} has the key “{named}” twice in one object ({place}). It was not changed."
                    )
                seen.add(member.name)
                self._check(member.at)
        elif self.text[at] == "[":
            for item in _items(self.text, at):
                self._check(item)


def _members(text: str, at: int) -> Iterator[_Member]:
    """Yield the members of the object that begins at `at`. The text must be valid JSON."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        begins = _skip(text, _skip(text, at) + 1)
        _, ends = _DECODER.raw_decode(text, begins)
        yield _Member(name, begins, ends)
        at = _skip(text, ends)
        at = _skip(text, at + 1) if text[at] == "," else at


def _items(text: str, at: int) -> Iterator[int]:
    at = _skip(text, at + 1)
    while text[at] != "]":
        yield at
        _, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        at = _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f"line {line}, column {at - text.rfind(chr(10), 0, at)}"
