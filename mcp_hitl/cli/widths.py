"""How wide text is at a terminal, and where its lines are broken."""

import unicodedata

_WIDE = frozenset({"W", "F"})
_GOES_ON = "> "
"""Begins each line that goes on with the one before."""
_LEAST = 20
"""The fewest columns that are left to a line that goes on."""


def width(text: str) -> int:
    """Return how many columns a text takes: two for each wide letter, none for a mark on the letter before it."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def cut(text: str, room: int) -> str:
    """Return a text that is at most `room` columns wide, with a sign if something is missing."""
    if width(text) <= room:
        return text
    return text[: _fitting(text, room - 1)] + "…"


def fold(line: str, columns: int) -> list[str]:
    """Return a line in pieces of at most `columns`; those that go on are indented as it is, and say so."""
    columns = max(columns, 2 * _LEAST)
    indent = " " * min(len(line) - len(line.lstrip(" ")), columns - _LEAST - len(_GOES_ON)) + _GOES_ON
    end = _fitting(line, columns)
    pieces = [line[:end]]
    while end < len(line):
        start, end = end, _fitting(line, columns - len(indent), end)
        pieces.append(indent + line[start:end])
    return pieces


def _fitting(text: str, room: int, start: int = 0) -> int:
    """Return up to where a text fits that begins at `start`, without a letter apart from its marks."""
    for place in range(start, len(text)):
        room -= _columns(text[place])
        if room < 0:
            return place
    return len(text)


def _columns(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in _WIDE else 1
