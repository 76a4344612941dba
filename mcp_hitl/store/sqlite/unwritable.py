"""The store in a file that can only be read: its disk is full, or it or its folder cannot be written."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import anyio
import anyio.to_thread

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.moved import refuse_moved
from mcp_hitl.store.sqlite.files import read_key
from mcp_hitl.store.sqlite.read_only import look
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

T = TypeVar("T")


class UnwritableStore:
    """The `Store` protocol without writing: whatever would change something is refused."""

    def __init__(self, path: Path) -> None:
        """Read the file at `path`.

        Raises:
            Unavailable: it cannot be read either, is not our database, is older or newer than this program, or its desk
                was moved away.
        """
        self.path = path
        refuse_moved(look(path, lambda view: view.facts.moved()), str(path))

    async def read(self, work: Callable[[View], T]) -> T:
        """See `Store.read`."""
        return await anyio.to_thread.run_sync(look, self.path, work)

    async def survey(self, work: Callable[[View], T]) -> T:
        """See `Store.survey`."""
        return await self.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """See `Store.write`."""
        _refuse()

    async def scrub(self) -> bool:
        """See `Store.scrub`."""
        return False

    async def changed(self) -> None:
        """See `Store.changed`. Nobody can commit."""
        await anyio.sleep_forever()

    def gone(self) -> str | None:
        """See `Store.gone`."""
        return None

    def hold(self, name: str) -> bool:
        """See `Store.hold`."""
        return False

    def hold_one_of(self, name: str) -> str:
        """See `Store.hold_one_of`."""
        _refuse()

    def let_go(self, name: str) -> None:
        """See `Store.let_go`."""

    def is_held(self, name: str) -> bool:
        """See `Store.is_held`."""
        from mcp_hitl.store.sqlite.locks import held_beside

        return held_beside(self.path, name)

    def machine(self) -> str | None:
        """See `Store.machine`."""

    def shared_key(self) -> bytes:
        """See `Store.shared_key`."""
        try:
            return read_key(self.path)
        except OSError as error:
            raise Unavailable(f"The key file next to the database cannot be read: {error}.") from error

    def hurry(self) -> None:
        """See `Store.hurry`."""

    async def close(self) -> None:
        """See `Store.close`."""


def _refuse() -> NoReturn:
    raise Unavailable("The database can only be read now; nothing was changed.")
