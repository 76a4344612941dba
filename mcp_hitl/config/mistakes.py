"""Mistakes in a policy file: all of them, each with its place and the expected value."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.text import one_line, visible

_BARE_KEY = re.compile(r"[A-Za-z0-9_$-]+")


@dataclass(frozen=True, slots=True)
class Mistake:
    """A place (`kinds.expense.stages[0].quorum`, or `line 3, column 9`) and what was expected there."""

    place: str
    expected: str

    def __str__(self) -> str:
        """Return the mistake on one line, for a person."""
        return f"{self.place}: {self.expected}"


class InvalidPolicy(Invalid):
    """The policy file has mistakes; `mistakes` lists them."""

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        """List the mistakes of `source`, one per line."""
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"{visible(source)} has {count}.", *(f"  {mistake}" for mistake in mistakes)]))


class Mistakes:
    """Collects mistakes while the file is read to the end, so that one run finds all."""

    def __init__(self) -> None:
        """Start without mistakes."""
        self.found: list[Mistake] = []

    def add(self, place: str, expected: str) -> None:
        """Note a mistake, once."""
        mistake = Mistake(visible(place), one_line(expected, 500))
        if mistake not in self.found:
            self.found.append(mistake)


def inside(place: str, *path: str | int) -> str:
    """Return the place that `path` leads to from `place`, in the file's own notation."""
    for part in path:
        if isinstance(part, int):
            place += f"[{part}]"
        else:
            key = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            place = f"{place}.{key}" if place else key
    return place


def unknown(name: str, known: Iterable[str], what: str) -> str:
    """Return the message that `name` is not a known `what`, with the closest known name, or all known names."""
    names = sorted(known)
    near = get_close_matches(name, names, 1, cutoff=0.7)
    if near:
        return f"is an unknown {what}; did you mean {near[0]!r}?"
    return f"is an unknown {what}; " + (f"known are {', '.join(names)}" if names else "there are none")
