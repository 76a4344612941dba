"""What a list is narrowed to, and when an approval's words meet it."""

from dataclasses import dataclass

from mcp_hitl.domain.approval import Status
from mcp_hitl.domain.canonical import check_text
from mcp_hitl.domain.errors import Invalid

MAX_TEXT = 200
"""Characters of what is searched for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What is looked for: None and no words ask for everything. `approver` is anybody who decided on it."""

    status: Status | None = None
    kind: str | None = None
    requester: str | None = None
    approver: str | None = None
    words: tuple[str, ...] = ()
    open_kinds: frozenset[str] | None = None
    """The kinds whose payloads the words are looked for in, since nothing in them is secret; None for every kind."""

    def met_by(self, *texts: str | None) -> bool:
        """Whether every word occurs somewhere in `texts`, in small or capital letters."""
        # A word has no blanks, so none is found across the end of a text.
        everything = "\n".join(text for text in texts if text).casefold()
        return all(word in everything for word in self.words)


@dataclass(frozen=True, slots=True)
class Sifted:
    """The ids that were found; `stopped_at` is the last id that was looked at where looking stopped before the end."""

    ids: list[str]
    stopped_at: str | None = None


def words_of(text: str | None) -> tuple[str, ...]:
    """The words of what somebody searches for, as they are compared (Unicode's case folding).

    Raises:
        Invalid: too long, or text that no approval can hold.
    """
    if text is None:
        return ()
    if len(text) > MAX_TEXT:
        raise Invalid(f"The text to search for must have at most {MAX_TEXT} characters.")
    check_text(text, "The text to search for")
    return tuple(dict.fromkeys(text.casefold().split()))
