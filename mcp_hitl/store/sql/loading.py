"""Loads approvals with their decisions, edits and progress."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeVar

from mcp_hitl.domain.approvals.approval import Approval, Decision, Edit, Progress
from mcp_hitl.domain.values.canonical import read_back
from mcp_hitl.domain.values.errors import Unreadable
from mcp_hitl.domain.values.instants import from_ms
from mcp_hitl.domain.values.payload import arranged_like
from mcp_hitl.domain.values.text import visible
from mcp_hitl.store import rows
from mcp_hitl.store.lists import Listed
from mcp_hitl.store.sql.database import Database, Words
from mcp_hitl.store.unreadable import FAULTS

T = TypeVar("T")

_DECISIONS = (
    f"rowid, {rows.DECISION}, "
    "(SELECT value FROM contents WHERE contents.approval = decisions.approval AND digest = comment)"
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
    row: Any = next(iter(db.fetched(f"{_whole(db.words)} {where}", values)), None)
    return None if row is None else _approval(db, row)


def all_of(db: Database, where: str, values: tuple[Any, ...]) -> list[Approval]:
    return [_approval(db, row) for row in db.fetched(f"{_whole(db.words)} {where}", values)]


def every_one(db: Database, where: str, values: tuple[Any, ...]) -> list[Listed]:
    found = db.fetched(f"{_whole(db.words)} {where}", values)
    return [each(partial(_approval, db), row) for row in found]


def number(db: Database, statement: str, values: tuple[Any, ...]) -> int:
    row: Any = db.execute(statement, values).fetchone()
    return row[0]


def _approval(db: Database, row: Any) -> Approval:
    *_, decisions, progress = row
    try:
        edits = () if row[7] == 1 else _edits(db, row[0], read_back(row[5]))
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


def _edits(db: Database, approval_id: str, payload: Any) -> tuple[Edit, ...]:
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


def _kept(db: Database, approval_id: str, digest: str | None) -> Any:
    if digest is None:
        return None
    row: Any = db.execute(
        "SELECT value FROM contents WHERE approval = ? AND digest = ?", (approval_id, digest)
    ).fetchone()
    return None if row is None else read_back(row[0])
