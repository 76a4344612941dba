"""A finding: what is so, what it allows, and the lines that mend it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    UNSAFE = "unsafe"
    """Somebody could get an approval, or its record, that people did not mean to give."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Mend:
    """One way to mend it: in words where or when, and the line.

    `line` stands in a file or the environment. `command` is one of this program without its launcher, which only the
    composition root knows; `shell` is one of another program, word by word.
    """

    where: str
    line: str = ""
    command: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found; `code` is stable, for programs and for `--accept`."""

    code: str
    severity: Severity
    what: str
    allows: str
    mend: tuple[Mend, ...] = ()


def unsafe(code: str, what: str, allows: str, *mend: Mend) -> Finding:
    """A finding that matters."""
    return Finding(code, Severity.UNSAFE, what, allows, mend)


def note(code: str, what: str, allows: str, *mend: Mend) -> Finding:
    """A finding that is good to know."""
    return Finding(code, Severity.NOTE, what, allows, mend)


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def of_kinds(names: Iterable[str]) -> str:
    """`the kind action`, `the kinds action and expense`."""
    names = list(names)
    return f"the kind{'' if len(names) == 1 else 's'} {listed(names)}"


def in_policy(kinds: Iterable[str], line: str) -> Mend:
    """The same line for the table of each kind."""
    return Mend(f"in the policy file, under {listed(f'[kinds.{kind}]' for kind in kinds)}", line)
