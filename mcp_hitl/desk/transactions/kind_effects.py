"""What a kind can bring besides its rules: an effect, and a table of its own. Whoever makes a desk hands them to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.policy.kinds import WITH_EFFECT, WITH_TABLE
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

Effect = Callable[[Transaction, Approval], JsonObject]
"""Acts in the transaction that approves. It gets the approval with its answer, and returns the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTable:
    """A table in which a kind keeps what it did, with at most one row for each approval."""

    row: str
    """What one row is, with its article."""
    rows: Callable[[View, str, str | None], dict[str, JsonObject]]
    """Returns the rows of the approvals after an id, up to another one if that is given; by approval."""
    check: Callable[[Approval, JsonObject], None]
    """Compares a row with its approval; raises `Broken` if it is not what was approved."""
    erase: Callable[[Transaction, str], None]
    """Erases the contents of an approval's row, if it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """The effects and the own tables that a program has, by kind."""

    on_approval: Mapping[str, Effect] = field(default_factory=dict[str, Effect])
    """What happens in the transaction that approves: once, or not at all."""
    tables: Mapping[str, OwnTable] = field(default_factory=dict[str, OwnTable])
    """The evidence compares them with the log, and erases them."""

    def __post_init__(self) -> None:
        """Refuse an effect or a table that the domain does not list: other programs would do without it, and not tell.

        Raises:
            ValueError: the message names the kinds.
        """
        unlisted = sorted((self.on_approval.keys() - WITH_EFFECT) | (self.tables.keys() - WITH_TABLE))
        if unlisted:
            raise ValueError(f"list these in WITH_EFFECT or WITH_TABLE in domain/policy/kinds.py: {unlisted}")

    def of(self, kind: str) -> Effect | None:
        """Return what happens when this kind is approved, or None if nothing does.

        Raises:
            Unavailable: something has to happen, and this program does not have it.
        """
        effect = self.on_approval.get(kind)
        if effect is None and kind in WITH_EFFECT:
            raise Unavailable(
                f"This program cannot do what has to happen when a {kind} is approved, so it cannot approve one. "
                "Nothing was changed. Approve it with mcp-hitl."
            )
        return effect

    @property
    def missing_tables(self) -> list[str]:
        """The kinds that keep a table of which this program does not know."""
        return sorted(WITH_TABLE - self.tables.keys())
