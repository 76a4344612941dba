"""The filters of a list, and the check whether an approval matches the words."""

from dataclasses import dataclass

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.values.canonical import check_text
from mcp_hitl.domain.values.errors import Invalid

MAX_TEXT = 200
"""The most characters that a search text may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """A search: None and no words match everything. `approver` matches anybody who decided on the approval."""

    status: Status | None = None
    kind: str | None = None
    requester: str | None = None
    approver: str | None = None
    words: tuple[str, ...] = ()
    open_kinds: frozenset[str] | None = None
    """The kinds whose payloads may be searched, because nothing in them is secret; None for every kind."""

    def met_by(self, *texts: str | None) -> bool:
        """Return True if every word occurs somewhere in `texts`, ignoring case."""
        # A word has no blanks, so none is found across the end of a text.
        everything = "\n".join(text for text in texts if text).casefold()
        return all(word in everything for word in self.words)


@dataclass(frozen=True, slots=True)
class Sifted:
    """The ids that were found. `stopped_at` is the last id checked if the search stopped before the end."""

    ids: list[str]
    stopped_at: str | None = None


def words_of(text: str | None) -> tuple[str, ...]:
    """Return the words of a search text in the form in which they are compared (Unicode's case folding).

    Raises:
        Invalid: the text is too long, or contains characters that no approval can have.
    """
    if text is None:
        return ()
    if len(text) > MAX_TEXT:
        raise Invalid(f"The text to search for must have at most {MAX_TEXT} characters.")
    check_text(text, "The text to search for")
    return tuple(dict.fromkeys(text.casefold().split()))
