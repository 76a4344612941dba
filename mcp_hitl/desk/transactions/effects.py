"""What a kind can bring besides its rules: an effect, and a table of its own. Whoever makes a desk hands them to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

Effect = Callable[[Transaction, Approval], JsonObject]
"""Acts in the transaction that approves. It gets the approval with its answer, and returns the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTable:
    """A table in which a kind keeps what it did, with at most one row for each approval."""

    row: str
    """What one row is, with its article."""
    rows: Callable[[View], dict[str, JsonObject]]
    """Returns the rows, by approval."""
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
