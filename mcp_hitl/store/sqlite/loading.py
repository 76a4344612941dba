"""Loads approvals with their decisions, edits and progress."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from mcp_hitl.domain.approvals.approval import Approval, Decision, Edit, Progress
from mcp_hitl.domain.values.canonical import read_back
from mcp_hitl.domain.values.errors import Unreadable
from mcp_hitl.domain.values.instants import from_ms
from mcp_hitl.domain.values.payload import arranged_like
from mcp_hitl.domain.values.text import visible
from mcp_hitl.store import rows
from mcp_hitl.store.lists import Listed
from mcp_hitl.store.unreadable import FAULTS

T = TypeVar("T")

_WHOLE = (
    f"{rows.APPROVAL}, "
    f"(SELECT json_group_array(json_array(rowid, {rows.DECISION}, "
    "(SELECT value FROM contents WHERE contents.approval = decisions.approval AND digest = comment))) "
    "FROM decisions WHERE decisions.approval = approvals.id), "
    "(SELECT json_group_array(json_array(rowid, step, message, at)) "
    "FROM progress WHERE progress.approval = approvals.id)"
)
"""Selects an approval with its decisions and progress in one statement, since this is the most frequent query."""


def fetched(db: sqlite3.Connection, statement: str, values: tuple[Any, ...]) -> list[Any]:
    """Return the rows of a statement. Bytes that are no text come as lone surrogates: one row hides no other."""
    try:
        return db.execute(statement, values).fetchall()
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
    db.text_factory = _leniently
    try:
        return db.execute(statement, values).fetchall()
    finally:
        db.text_factory = str


def _leniently(held: bytes) -> str:
    return held.decode(errors="surrogateescape")


def each(mapping: Callable[[Any], T], row: Any) -> T | Unreadable:
    """Return what a row converts to, or why it cannot be read."""
    try:
        return mapping(row)
    except Unreadable as error:
        return error


def one(db: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> Approval | None:
    row: Any = next(iter(fetched(db, f"SELECT {_WHOLE} FROM approvals {where}", values)), None)
    return None if row is None else _approval(db, row)


def every_one(db: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> list[Listed]:
    found = fetched(db, f"SELECT {_WHOLE} FROM approvals {where}", values)
    return [each(partial(_approval, db), row) for row in found]


def number(db: sqlite3.Connection, statement: str, values: tuple[Any, ...]) -> int:
    row: Any = db.execute(statement, values).fetchone()
    return row[0]


def _approval(db: sqlite3.Connection, row: Any) -> Approval:
    *_, decisions, progress = row
    try:
        edits = () if row[7] == 1 else _edits(db, row[0], read_back(row[5]))
        return rows.approval_of(row, decisions_of(decisions), edits, progress_of(progress))
    except (Unreadable, sqlite3.OperationalError, *FAULTS) as error:
        why = error.why if isinstance(error, Unreadable) else repr(error)
        raise Unreadable(visible(row[0])[:60], why, row[0]) from error


def decisions_of(text: str) -> tuple[Decision, ...]:
    """Return the decisions in a JSON list of lists: the row's number, `DECISION`'s columns, and the comment itself."""
    return tuple(rows.decision_of(row, content) for _, *row, content in _listed(text))


def progress_of(text: str) -> tuple[Progress, ...]:
    """Return the progress in a JSON list of lists: the row's number, `step`, `message` and `at`."""
    return tuple(Progress(step=step, message=message, at=from_ms(at)) for _, step, message, at in _listed(text))


def _listed(text: str) -> list[Any]:
    """Return the rows in order; SQLite does not guarantee the order of aggregated rows."""
    return [] if text == "[]" else sorted(read_back(text))


def _edits(db: sqlite3.Connection, approval_id: str, payload: Any) -> tuple[Edit, ...]:
    """The edits, whose contents are kept in canonical form, with their fields in the present payload's order."""
    found = db.execute(
        "SELECT revision, editor, comment, before, after, at, established FROM edits "
        "WHERE approval = ? ORDER BY revision",
        (approval_id,),
    ).fetchall()
    return tuple(
        Edit(
            revision=row[0],
            editor=row[1],
            comment=_kept(db, approval_id, row[2]),
            before=arranged_like(_kept(db, approval_id, row[3]), payload),
            after=arranged_like(_kept(db, approval_id, row[4]), payload),
            at=from_ms(row[5]),
            established=row[6],
        )
        for row in found
    )


def _kept(db: sqlite3.Connection, approval_id: str, digest: str | None) -> Any:
    if digest is None:
        return None
    row: Any = db.execute(
        "SELECT value FROM contents WHERE approval = ? AND digest = ?", (approval_id, digest)
    ).fetchone()
    return None if row is None else read_back(row[0])
