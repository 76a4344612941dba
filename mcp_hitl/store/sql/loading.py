"""Loads approvals with their decisions, edits and progress."""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from mcp_hitl.domain.approvals.approval import Approval, Decision, Edit, Progress
from mcp_hitl.domain.values.canonical import read_back
from mcp_hitl.domain.values.errors import Unreadable
from mcp_hitl.domain.values.instants import from_ms
from mcp_hitl.domain.values.payload import arranged_like
from mcp_hitl.domain.values.text import visible
from mcp_hitl.store import rows
from mcp_hitl.store.lists import Listed
from mcp_hitl.store.sql.database import Database, Words, places
from mcp_hitl.store.unreadable import FAULTS

T = TypeVar("T")

_DECISIONS = (
    f"rowid, {rows.DECISION}, "
    "(SELECT value FROM contents WHERE contents.approval = decisions.approval AND digest = comment)"
)
_EDITS = "SELECT approval, revision, editor, {}, {}, {}, at, established FROM edits".format(
    *(
        f"(SELECT value FROM contents WHERE contents.approval = edits.approval AND digest = {digest})"
        for digest in ("comment", "before", "after")
    )
)


@cache
def _whole(words: Words) -> str:
    """Select an approval with its decisions and progress in one statement, since this is the most frequent query."""
    return (
        f"SELECT {rows.APPROVAL}, "
        f"(SELECT {words.rows_as_list.format(_DECISIONS)} FROM decisions WHERE decisions.approval = approvals.id), "
        f"(SELECT {words.rows_as_list.format('rowid, step, message, at')} FROM progress "
        "WHERE progress.approval = approvals.id) FROM approvals"
    )


def each(mapping: Callable[[Any], T], row: Any) -> T | Unreadable:
    """Return what a row converts to, or why it cannot be read."""
    try:
        return mapping(row)
    except Unreadable as error:
        return error


def one(db: Database, where: str, values: tuple[Any, ...]) -> Approval | None:
    return next(iter(all_of(db, where, values)), None)


def all_of(db: Database, where: str, values: tuple[Any, ...]) -> list[Approval]:
    found: list[Approval] = []
    for listed in every_one(db, where, values):
        if isinstance(listed, Unreadable):
            raise listed
        found.append(listed)
    return found


def every_one(db: Database, where: str, values: tuple[Any, ...]) -> list[Listed]:
    found = db.fetched(f"{_whole(db.words)} {where}", values)
    edits = _edits(db, [row[0] for row in found if row[7] != 1])
    return [each(lambda row: _approval(row, edits.get(row[0], [])), row) for row in found]


def number(db: Database, statement: str, values: tuple[Any, ...]) -> int:
    row: Any = db.execute(statement, values).fetchone()
    return row[0]


def _approval(row: Any, edited: list[Any]) -> Approval:
    *_, decisions, progress = row
    try:
        edits = tuple(_edit_of(one, read_back(row[5])) for one in edited)
        return rows.approval_of(row, decisions_of(decisions), edits, progress_of(progress))
    except (Unreadable, *FAULTS) as error:
        why = error.why if isinstance(error, Unreadable) else repr(error)
        raise Unreadable(visible(row[0])[:60], why, row[0]) from error


def decisions_of(text: str) -> tuple[Decision, ...]:
    """Return the decisions in a JSON list of lists: the row's number, `DECISION`'s columns, and the comment itself."""
    return tuple(rows.decision_of(row, content) for _, *row, content in _listed(text))


def progress_of(text: str) -> tuple[Progress, ...]:
    """Return the progress in a JSON list of lists: the row's number, `step`, `message` and `at`."""
    return tuple(Progress(step=step, message=message, at=from_ms(at)) for _, step, message, at in _listed(text))


def _listed(text: str) -> list[Any]:
    """Return the rows in order; no database promises the order of aggregated rows."""
    return [] if text == "[]" else sorted(read_back(text))


def _edits(db: Database, approval_ids: list[str]) -> dict[str, list[Any]]:
    """Return the rows of the edits, in order, by approval; with the contents in place of their digests."""
    edited: dict[str, list[Any]] = {}
    if approval_ids:
        found = db.fetched(f"{_EDITS} WHERE approval IN ({places(approval_ids)}) ORDER BY revision", approval_ids)
        for row in found:
            edited.setdefault(row[0], []).append(row)
    return edited


def _edit_of(row: Any, payload: Any) -> Edit:
    """Return an edit, whose contents are kept in canonical form, with their fields in the present payload's order."""
    for text in row:
        if isinstance(text, str):
            text.encode()  # as in `rows.approval_of`
    comment, before, after = (None if text is None else read_back(text) for text in row[3:6])
    return Edit(
        revision=row[1],
        editor=row[2],
        comment=comment,
        before=arranged_like(before, payload),
        after=arranged_like(after, payload),
        at=from_ms(row[6]),
        established=row[7],
    )
