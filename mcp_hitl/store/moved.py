"""A desk that was moved to another database: the one that it has left says so, and is used no more.

Otherwise it would go on in both, and what was approved once could be used twice.
"""

from dataclasses import dataclass

from mcp_hitl.domain.values.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Moved:
    """Where a desk was moved, without a password."""

    to: str
    arrived: bool
    """False from the last step of the move until it is known that the other database has everything."""

    @staticmethod
    def read(fact: str) -> "Moved | None":
        """Return what a fact of the database says."""
        state, _, to = fact.partition(" ")
        return Moved(to, arrived=state == "moved") if to else None

    def __str__(self) -> str:
        """Return the fact."""
        return f"{'moved' if self.arrived else 'moving'} {self.to}"


def refuse_moved(moved: Moved | None, here: str) -> None:
    """Refuse to use the database `here` any more if its desk was moved.

    Raises:
        Unavailable: it was; the message says where to.
    """
    if moved is None:
        return
    if moved.arrived:
        raise Unavailable(
            f"The desk in {here} was moved to {moved.to}. Name that instead, in MCP_HITL_DB or with --db; nothing is "
            "decided or run here any more."
        )
    raise Unavailable(
        f"A move of the desk in {here} to {moved.to} was interrupted, so it goes on nowhere yet. Finish the move: "
        f"mcp-hitl migrate '{here}' '{moved.to}'"
    )
