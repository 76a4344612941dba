"""What the desk needs of a database, whichever it is.

Each `read` is one consistent snapshot, each `write` one transaction. The work is a plain function with a view or a
transaction as its argument, and may be called from any thread. Its result comes back after the commit; if it raises,
its changes are undone.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

T = TypeVar("T")


class Store(Protocol):
    """An open database."""

    async def read(self, work: Callable[[View], T]) -> T:
        """Return the result of `work` on one snapshot.

        Raises:
            Unavailable: the database cannot be read now.
        """
        ...

    async def survey(self, work: Callable[[View], T]) -> T:
        """Return the result of `work`, which may take long, on its own snapshot. Cancelling or `close` ends it early.

        Raises:
            Unavailable: the database cannot be read now, or was closed meanwhile.
        """
        ...

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction, and return its result once the changes are durable.

        Raises:
            Unavailable: nothing was changed; the database stayed locked, or the disk is full.
            Uncertain: it is not known whether anything was changed.
        """
        ...

    async def scrub(self) -> bool:
        """Remove all traces of erased contents from the files. Return False if that cannot be done now."""
        ...

    async def changed(self) -> None:
        """Wait until somebody may have committed since the last call, in this process or another."""
        ...

    def gone(self) -> str | None:
        """Return what happened if this is not the database any more that others find where we opened it; else None.

        Then reads and writes raise `Unavailable`, until it is back.
        """
        ...

    def hold(self, name: str) -> bool:
        """Take a lock that one process can hold, until it releases it or ends. Return False if another has it."""
        ...

    def hold_one_of(self, name: str) -> str:
        """Take the first of the locks `name`-1, `name`-2, … that nobody has, in this process either; return its name.

        Raises:
            Unavailable: no lock can be taken now.
        """
        ...

    def let_go(self, name: str) -> None:
        """Release the lock."""
        ...

    def is_held(self, name: str) -> bool:
        """Return True if a process holds the lock."""
        ...

    def machine(self) -> str | None:
        """Return what names the processes that share our loopback address; None if all that use the database do."""
        ...

    def shared_key(self) -> bytes:
        """Return the secret that the processes using this database share.

        Raises:
            Unavailable: it cannot be read or made.
        """
        ...

    def hurry(self) -> None:
        """Stop waiting long for other processes, because this process is stopping."""
        ...

    async def close(self) -> None:
        """Finish the queued writes, end the surveys, and close the database."""
        ...
