"""Reads a policy file: TOML to the `Rulebook`, with all mistakes reported together (docs/reference/policy-file.md)."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from mcp_hitl.config.kind_tables import ASKING, World, read_kind
from mcp_hitl.config.mistakes import InvalidPolicy, Mistake, Mistakes
from mcp_hitl.config.people_tables import read_people
from mcp_hitl.config.table import Table
from mcp_hitl.domain.policy.kinds import BUILT_IN, Kind
from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import digest_of
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.text import visible

_WHERE = re.compile(r"(.*) \(at (line \d+, column \d+|end of document)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """The contents of a policy file. `retention` is how long contents are kept after an approval has ended."""

    rulebook: Rulebook
    retention: timedelta | None = None


def read(path: Path, *, check_flows: bool = False) -> PolicyFile:
    """Return the policy in the file at `path`; `check_flows` also imports the flows that it names.

    Raises:
        InvalidPolicy: the message lists every mistake and its place.
        Invalid: there is no such file, or it cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise Invalid(f"There is no policy file at {visible(str(path))}.") from None
    except OSError as error:
        raise Invalid(f"The policy file at {visible(str(path))} cannot be read: {error.strerror}.") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidPolicy(str(path), [Mistake(f"line {line}", "must be text in UTF-8")]) from None
    policy = parse(text, source=str(path), check_flows=check_flows)
    return replace(policy, rulebook=replace(policy.rulebook, digest=digest_of(content)))


def parse(text: str, *, source: str = "The policy", check_flows: bool = False) -> PolicyFile:
    """Return the policy in `text`; `source` is its name in messages.

    Raises:
        InvalidPolicy: the message lists every mistake and its place.
    """
    mistakes = Mistakes()
    root = Table(_toml(text, source), "", mistakes)
    policy = _read(root, check_flows)
    if mistakes.found:
        raise InvalidPolicy(source, mistakes.found)
    return policy


def _toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        mistake = Mistake("the file", "is nested too deeply")
    except ValueError as error:
        found = _WHERE.fullmatch(str(error))
        said, place = (found[1], found[2]) if found else (str(error), "the file")
        if place == "end of document":
            lines = text.split("\n")
            place = f"line {len(lines)}, column {len(lines[-1]) + 1}"
        mistake = Mistake(place, f"must be TOML: {visible(said[:1].lower() + said[1:])}")
    raise InvalidPolicy(source, [mistake])


def _read(root: Table, check_flows: bool) -> PolicyFile:
    profile = root.choice("profile", list(Profile)) or Profile.SOLO
    unattended = root.flag("unattended") or False
    people = read_people(root.table("people"), root.table("aliases"), root.mistakes)
    retention = root.length("retention")
    kinds = root.table("kinds")
    root.close()
    world = World(profile, unattended, people, check_flows)
    return PolicyFile(Rulebook(_read_kinds(kinds, world), people, profile, written=True), retention)


def _read_kinds(kinds: Table | None, world: World) -> Mapping[str, Kind]:
    """Return the file's kinds, and the built-in kinds that somebody can decide without being in the file."""
    named = kinds.named() if kinds else []
    alone = [kind for kind in BUILT_IN.values() if kind.name not in named]
    found = {kind.name: world.begin(kind) for kind in alone if world.profile is Profile.SOLO or kind.name in ASKING}
    for name in named:
        table = kinds and kinds.table(name)
        if table:
            found[name] = read_kind(table, name, BUILT_IN.get(name), world)
    return found
