"""A finding: the fact, the risk, and the ways to fix it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How serious a finding is."""

    UNSAFE = "unsafe"
    """Somebody could get an approval that people did not mean to give, or change its record."""
    NOTE = "note"
    """Information that you may want to know."""


@dataclass(frozen=True, slots=True)
class Mend:
    """One way to fix a finding: where or when to do it, and the line to write.

    `line` goes into a file or the environment. `command` is a command of this program without its launcher, which only
    the composition root knows; `shell` is a command of another program, word by word.
    """

    where: str
    line: str = ""
    command: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of `doctor`; `code` is stable, for programs and for `--accept`."""

    code: str
    severity: Severity
    what: str
    allows: str
    mend: tuple[Mend, ...] = ()


def unsafe(code: str, what: str, allows: str, *mend: Mend) -> Finding:
    """Return a finding of the severity `unsafe`."""
    return Finding(code, Severity.UNSAFE, what, allows, mend)


def note(code: str, what: str, allows: str, *mend: Mend) -> Finding:
    """Return a finding of the severity `note`."""
    return Finding(code, Severity.NOTE, what, allows, mend)


def listed(names: Iterable[str]) -> str:
    """Return the names as text: `a`, `a and b`, `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def of_kinds(names: Iterable[str]) -> str:
    """Return the kinds as text: `the kind action`, `the kinds action and expense`."""
    names = list(names)
    return f"the kind{'' if len(names) == 1 else 's'} {listed(names)}"


def in_policy(kinds: Iterable[str], line: str) -> Mend:
    """Return a fix that puts the same line into the table of each kind."""
    return Mend(f"in the policy file, under {listed(f'[kinds.{kind}]' for kind in kinds)}", line)
