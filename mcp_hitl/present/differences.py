"""What an edit changes, for people: each name and value in a place of its own, so that none can pass for another."""

import json
from dataclasses import dataclass
from typing import Any

from mcp_hitl.domain.approvals.approval import Edit
from mcp_hitl.domain.values.changes import ABSENT, differing
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.text import as_name, indented, json_lines, look_alike, one_line, visible
from mcp_hitl.present.warnings import warning

_SECRET_CHANGE = "(something secret)"
_MOST = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """One changed field, in words: each text is a single line."""

    name: str
    before: str
    after: str


def differences(before: Any, after: Any) -> list[Difference]:
    """Return every difference between two payloads."""
    return [
        Difference(".".join(map(as_name, one.path)) or "payload", *_values(one.before, one.after))
        for one in differing(before, after)
    ]


def in_lines(found: list[Difference], *, limit: int | None = None) -> str:
    """Return the differences as text: the name in a line of its own, and below it what was and what is."""
    most = 10_000_000 if limit is None else limit
    shown = found if limit is None else found[:_MOST]
    rest = [f"… (+{len(found) - len(shown):,} fields)"] if len(found) > len(shown) else []
    parts = [
        f"{one_line(one.name, most)}\n  before: {one_line(one.before, most)}\n  after:  {one_line(one.after, most)}"
        for one in shown
    ]
    return "\n".join(parts + rest)


def edit_in_words(edit: Edit, *, limit: int | None = None) -> str:
    """Return an edit that somebody sees, who may see no secrets. Empty if the contents are erased."""
    erased = edit.before is None and edit.after is None
    return in_lines(differences(edit.before, edit.after), limit=limit) or ("" if erased else _SECRET_CHANGE)


def revision_wanted(before: Any, after: Any) -> str:
    """Return what whoever is asked for an edit must see: each difference, and the whole payload as it would be then.

    Raises:
        Invalid: there is no difference.
    """
    told = in_lines(differences(before, after))
    if not told:
        raise Invalid("Nothing changed: the new payload is identical, so there is nothing to edit.")
    whole = indented(json_lines(after))
    return "\n\n".join([*warning(after), indented(told), "All of it, as it would be then:", whole])


def _values(before: Any, after: Any) -> tuple[str, str]:
    told = _told(before), _told(after)
    return (_told(before, exact=True), _told(after, exact=True)) if look_alike(*told) else told


def _told(value: Any, *, exact: bool = False) -> str:
    return "(nothing)" if value is ABSENT else visible(json.dumps(value, ensure_ascii=exact))
