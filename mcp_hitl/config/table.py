"""One table of a policy file. Each key is read with its type; keys that nobody read are unknown."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar, cast

from mcp_hitl.config.mistakes import Mistakes, inside, unknown
from mcp_hitl.domain.values.canonical import canonical
from mcp_hitl.domain.values.durations import duration
from mcp_hitl.domain.values.errors import Invalid

T = TypeVar("T")
Choice = TypeVar("Choice", bound=StrEnum)

NONE = "none"
"""A value that removes a kind's default, since TOML has no null."""


class Table:
    """A table. Each method returns None if the key is missing or wrong, and notes a mistake if it is wrong."""

    def __init__(self, content: Mapping[str, Any], place: str, mistakes: Mistakes) -> None:
        """Read `content`, whose place in the file is `place`."""
        self.content = content
        self.place = place
        self.mistakes = mistakes
        self._known: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Return True if the file has `key`, with any value."""
        return key in self.content

    def at(self, *path: str | int) -> str:
        """Return the place of `path` inside this table."""
        return inside(self.place, *path)

    def expect(self, key: str, expected: str) -> None:
        """Note a mistake at `key`."""
        self.mistakes.add(self.at(key), expected)

    def text(self, key: str) -> str | None:
        """Return a text that is not empty."""
        value = self._take(key, str, "must be text in quotes")
        if value is not None and not value.strip():
            self.expect(key, "must not be empty")
            return None
        return value

    def flag(self, key: str) -> bool | None:
        """Return true or false."""
        return self._take(key, bool, "must be true or false, without quotes")

    def count(self, key: str) -> int | None:
        """Return a whole number of at least 1."""
        value = self._take(key, int, "must be a whole number of at least 1")
        if value is not None and not 1 <= value < 2**53:
            self.expect(key, "must be a whole number of at least 1")
            return None
        return value

    def length(self, key: str) -> timedelta | None:
        """Return a length of time."""
        value = self._take(key, str, "must be a length of time in quotes, such as '7 days'")
        return None if value is None else self._duration(value, self.at(key))

    def lengths(self, key: str) -> tuple[timedelta, ...] | None:
        """Return a list of lengths of time."""
        values = self._list(key, str, "lengths of time in quotes, such as ['4 hours', '1 day']")
        if values is None:
            return None
        found = [self._duration(value, self.at(key, index)) for index, value in enumerate(values)]
        return tuple(span for span in found if span is not None)

    def says_none(self, key: str) -> bool:
        """Return True if the value is 'none'."""
        if self.content.get(key) == NONE:
            self._known.add(key)
            return True
        return False

    def texts(self, key: str) -> list[str] | None:
        """Return a list of texts."""
        return self._list(key, str, "texts in quotes")

    def choice(self, key: str, options: list[Choice]) -> Choice | None:
        """Return one of `options`."""
        value = self._take(key, str, "must be text in quotes")
        found = next((option for option in options if option.value == value), None)
        if value is not None and found is None:
            self.expect(key, "must be " + " or ".join(f"'{option.value}'" for option in options))
        return found

    def json(self, key: str) -> dict[str, Any] | None:
        """Return a table that represents a JSON object."""
        value = self._take(key, dict[str, Any], "must be a table, such as { properties = { … } }")
        if value is None:
            return None
        try:
            canonical(value, what=key)
        except Invalid as mistake:
            self.expect(key, f"must be JSON: {mistake}")
            return None
        return value

    def table(self, key: str) -> "Table | None":
        """Return a table inside this one."""
        value = self._take(key, dict[str, Any], "must be a table")
        return None if value is None else Table(value, self.at(key), self.mistakes)

    def tables(self, key: str) -> list["Table"] | None:
        """Return a list of tables."""
        values = self._list(key, dict[str, Any], "tables")
        if values is None:
            return None
        return [Table(value, self.at(key, index), self.mistakes) for index, value in enumerate(values)]

    def named(self) -> list[str]:
        """Return all keys, for a table whose keys are names chosen by the author of the file."""
        self._known.update(self.content)
        return list(self.content)

    def close(self) -> None:
        """Note every key that was not read."""
        for key in self.content:
            if key not in self._known:
                self.expect(key, unknown(key, self._known, "key"))

    def _take(self, key: str, kind: type[T], expected: str) -> T | None:
        self._known.add(key)
        if key not in self.content:
            return None
        value = self.content[key]
        if not _is(value, kind):
            self.expect(key, expected)
            return None
        return cast("T", value)

    def _list(self, key: str, kind: type[T], what: str) -> list[T] | None:
        values = self._take(key, list[Any], f"must be a list of {what}")
        if values is None:
            return None
        for index, value in enumerate(values):
            if not _is(value, kind):
                self.mistakes.add(self.at(key, index), f"must fit a list of {what}")
        return [value for value in values if _is(value, kind)]

    def _duration(self, text: str, place: str) -> timedelta | None:
        try:
            return duration(text)
        except (Invalid, ValueError) as mistake:  # the latter for a number of thousands of digits
            self.mistakes.add(place, str(mistake) if isinstance(mistake, Invalid) else "must be at most ten years")
            return None


def _is(value: Any, kind: type[Any]) -> bool:
    """Return True if `value` is of exactly this type: true is not a whole number here."""
    return type(value) is getattr(kind, "__origin__", kind)
