"""Reads `[people]` and `[aliases]`, and the approvers that stages name."""

from mcp_hitl.config.mistakes import Mistakes, inside, unknown
from mcp_hitl.config.table import Table
from mcp_hitl.domain.policy.people import GROUP, People
from mcp_hitl.domain.policy.principal import LOCAL
from mcp_hitl.domain.values.text import visible

MAX_ID = 200


def read_people(people: Table | None, aliases: Table | None, mistakes: Mistakes) -> People:
    """Return the groups. Each person is in a group once, whichever of their accounts are listed."""
    mapping = _read_aliases(aliases, mistakes) if aliases else {}
    groups: dict[str, frozenset[str]] = {}
    people = people or Table({}, "people", mistakes)
    for name in people.named():
        _check_id(name, people.at(name), mistakes)
        members = people.texts(name) or []
        for index, member in enumerate(members):
            _check_id(member, people.at(name, index), mistakes)
        if people.content[name] == []:
            people.expect(name, "must name at least one person")
        groups[name] = frozenset(mapping.get(member, member) for member in members)
    return People(groups, mapping)


def read_approvers(table: Table, key: str, people: People) -> tuple[str, ...] | None:
    """Return a stage's approvers, each person or group once; None if there is a mistake."""
    before = len(table.mistakes.found)
    entries = table.texts(key)
    if key not in table:
        table.expect(key, "must be given: people's ids, 'group:NAME' or 'local'")
    elif table.content[key] == []:
        table.expect(key, "must name at least one approver")
    found: dict[str, None] = {}
    for index, entry in enumerate(entries or []):
        place = table.at(key, index)
        if entry.startswith(GROUP):
            name = entry.removeprefix(GROUP)
            if name not in people.groups:
                table.mistakes.add(place, f"{name!r} {unknown(name, people.groups, 'group under [people]')}")
        elif entry in people.groups:
            table.mistakes.add(place, f"names a group; write '{GROUP}{entry}'")
        elif entry != LOCAL:
            _check_id(entry, place, table.mistakes)
        found[people.person(entry)] = None
    return tuple(found) if found and len(table.mistakes.found) == before else None


def persons(entries: tuple[str, ...], people: People) -> frozenset[str]:
    """Return the different people whom approver entries mean; `local` counts as one."""
    in_groups = frozenset(person for members in people.members(entries).values() for person in members)
    return in_groups | {entry for entry in entries if not entry.startswith(GROUP)}


def _read_aliases(table: Table, mistakes: Mistakes) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for person in table.named():
        _check_id(person, table.at(person), mistakes)
        for index, account in enumerate(table.texts(person) or []):
            place = table.at(person, index)
            _check_id(account, place, mistakes)
            if account == person:
                mistakes.add(place, "must be another account: this is the person's own id")
            elif account in table.content:
                mistakes.add(
                    place, f"must not be a person with aliases; list those accounts under {inside('', person)}"
                )
            elif mapping.setdefault(account, person) != person:
                mistakes.add(place, f"must belong to one person: it is already an alias of {mapping[account]!r}")
    return mapping


def _check_id(text: str, place: str, mistakes: Mistakes) -> None:
    if not text or len(text) > MAX_ID or visible(text) != text or text != text.strip():
        mistakes.add(place, f"must be a plain name of 1 to {MAX_ID} characters")
    elif text.startswith(GROUP):
        mistakes.add(place, "must be one person's id: groups cannot contain groups")
    elif text == LOCAL:
        mistakes.add(place, f"must be one person's id: {LOCAL!r} means anyone at the machine; only an approver")
