"""Mistakes of a policy file: all of them together, each with its place and what was expected there."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mcp_hitl.domain.errors import Invalid
from mcp_hitl.domain.text import one_line, visible

_BARE_KEY = re.compile(r"[A-Za-z0-9_$-]+")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Where (`kinds.expense.stages[0].quorum`, or `line 3, column 9`) and what was expected."""

    place: str
    expected: str

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.place}: {self.expected}"


class InvalidPolicy(Invalid):
    """A policy file that cannot be followed; `mistakes` holds each reason."""

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        """Tell the mistakes of `source`, one a line."""
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"{visible(source)} has {count}.", *(f"  {mistake}" for mistake in mistakes)]))


class Mistakes:
    """Collects them while the file is read on, so that one look finds all."""

    def __init__(self) -> None:
        """Begin with none."""
        self.found: list[Mistake] = []

    def add(self, place: str, expected: str) -> None:
        """Note one, once."""
        mistake = Mistake(visible(place), one_line(expected, 500))
        if mistake not in self.found:
            self.found.append(mistake)


def inside(place: str, *path: str | int) -> str:
    """The place of what `path` leads to from `place`, in the file's own notation."""
    for part in path:
        if isinstance(part, int):
            place += f"[{part}]"
        else:
            key = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            place = f"{place}.{key}" if place else key
    return place


def unknown(name: str, known: Iterable[str], what: str) -> str:
    """`name` is no `what`; the nearest that is one, or all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, 1, cutoff=0.7)
    if near:
        return f"is no {what}; did you mean {near[0]!r}?"
    return f"is no {what}; known are {', '.join(names)}" if names else f"is no {what}; there are none"
