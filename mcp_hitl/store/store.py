"""What the desk asks of a database. SQLite keeps it now; nothing here is something that only SQLite can do.

Each `read` is one consistent snapshot, each `write` one transaction. The work is a plain function that is handed a
view or a transaction and may be called from any thread; what it returns comes back after the commit, and what it
raises undoes it.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

T = TypeVar("T")


class Store(Protocol):
    """A database that is open."""

    async def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on one snapshot.

        Raises:
            Unavailable: the database cannot be read now.
        """
        ...

    async def survey(self, work: Callable[[View], T]) -> T:
        """Run `work` on one snapshot beside every `read`, which may take long; cancelling it or `close` ends it early.

        Raises:
            Unavailable: the database cannot be read now, or was closed meanwhile.
        """
        ...

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction and return once it is durable.

        Raises:
            Unavailable: nothing was changed; the database stayed locked, or the disk is full.
        """
        ...

    async def scrub(self) -> bool:
        """Leave nothing in the files of what was erased; False where that cannot be done now."""
        ...

    async def changed(self) -> None:
        """Wait until something may have been committed since the last call, by this process or another."""
        ...

    def hold(self, name: str) -> bool:
        """Take hold of something that one process has at a time, until it lets go or ends; False: another has it."""
        ...

    def let_go(self, name: str) -> None:
        """Let go of it."""
        ...

    def is_held(self, name: str) -> bool:
        """Whether a process has hold of it."""
        ...

    async def close(self) -> None:
        """Finish the writes that are queued, end the surveys, and let go of the database."""
        ...
