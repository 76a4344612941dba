"""How the edits and the progress of an approval are shown: the first and the last of many, and how many there are."""

from collections.abc import Sequence
from typing import TypeVar

from mcp_hitl.domain.approvals.approval import Approval, Edit, Progress
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.changes import changes
from mcp_hitl.domain.values.instants import rfc3339
from mcp_hitl.domain.values.text import indented, one_line, visible
from mcp_hitl.present.differences import edit_in_words

T = TypeVar("T")


def edits_of(approval: Approval) -> list[Edit | int]:
    """Return the edits that are shown, in order, and the number of the others in their place."""
    return _with_gap(approval.edits, 2, 8)


def progress_of(approval: Approval) -> list[Progress | int]:
    """Return the progress reports that are shown, in order, and the number of the others in their place."""
    return _with_gap(approval.progress, 5, 15)


def _with_gap(items: Sequence[T], first: int, last: int) -> list[T | int]:
    left = len(items) - first - last
    return [*items] if left <= 1 else [*items[:first], left, *items[-last:]]


def edits_shape(approval: Approval) -> list[JsonObject]:
    """Return the edits as JSON."""
    return [
        {
            "revision": edit.revision,
            "editor": edit.editor,
            "comment": edit.comment,
            "changes": changes(edit.before, edit.after),
            "at": rfc3339(edit.at),
        }
        for edit in edits_of(approval)
        if not isinstance(edit, int)
    ]


def progress_shape(approval: Approval) -> list[JsonObject]:
    """Return the progress as JSON."""
    return [
        {"step": one.step, "message": one.message, "at": rfc3339(one.at)}
        for one in progress_of(approval)
        if not isinstance(one, int)
    ]


def folded_shape(approval: Approval) -> JsonObject:
    """Return how many edits and reports are not in their lists, as the field `folded`; nothing where all are."""
    rows = {"edits": edits_of(approval), "progress": progress_of(approval)}
    left = {name: one for name, row in rows.items() for one in row if isinstance(one, int)}
    return {"folded": left} if left else {}


def history_in_brief(approval: Approval) -> list[str]:
    """Return the edits and the progress as lines for a model."""
    lines: list[str] = []
    for edit in edits_of(approval):
        if isinstance(edit, int):
            lines.append(_more_edits(edit))
        else:
            what = edit_in_words(edit, limit=200) or "(erased)"
            lines += [f"{one_line(edit.editor, 100)} edited it:", indented(what)]
    for one in progress_of(approval):
        if isinstance(one, int):
            lines.append(f"… {one} more reports")
        else:
            lines.append(f"{one_line(one.step, 60)}: {one_line(one.message, 200)}")
    return lines


def edits_in_full(approval: Approval) -> list[str]:
    """Return the edits as paragraphs for whoever decides."""
    parts: list[str] = []
    for edit in edits_of(approval):
        if isinstance(edit, int):
            parts.append(_more_edits(edit))
        else:
            what = edit_in_words(edit) or "(erased)"
            parts += [f"Revision {edit.revision}, by {visible(edit.editor)}, changed:", indented(what)]
    return parts


def _more_edits(number: int) -> str:
    return f"… edited {number} more times"
