"""Claims: work that several processes could do, and that one of them does at a time."""

import logging
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import anyio

from mcp_hitl.desk.transactions.log_entries import begin
from mcp_hitl.domain.values.errors import HitlError, Unavailable
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

logger = logging.getLogger(__name__)

L = TypeVar("L", bound=Hashable)
T = TypeVar("T")

LEASE = timedelta(seconds=30)
_RENEW_SECONDS = 10.0


class Claims(Generic[L]):
    """The work that this process has claimed.

    A claim is a lease in the database. It is taken in a transaction, renewed while the work goes on, and given back if
    this process stops. If the process dies, the lease runs out and another process can claim the work.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        renew: Callable[[Transaction, L, datetime], bool],
        *,
        at_once: int,
    ) -> None:
        """Hold at most `at_once` claims. `renew(tx, lease, until)` returns False if another process has the work."""
        self._store = store
        self._clock = clock
        self._renew = renew
        self._at_once = at_once
        self._held: dict[L, anyio.CancelScope] = {}
        self._renewed_at = 0.0

    @property
    def room(self) -> int:
        """The number of claims that this process can still take."""
        return self._at_once - len(self._held)

    async def take(self, claim: Callable[[Transaction, datetime, datetime], list[T]]) -> list[T]:
        """Return what `claim(tx, now, until)` claims in one transaction; it must not claim more than there is room."""

        def work(tx: Transaction) -> list[T]:
            now = begin(tx, self._clock())
            return claim(tx, now, now + LEASE)

        taken: list[T] = []
        with anyio.CancelScope(shield=True):  # or what is claimed by a process that stops now would stay so for a while
            taken = await self._store.write(work)
        return taken

    async def renew(self) -> None:
        """Renew all leases if that is due, and cancel the work that another process has taken.

        A worker that holds claims calls this in each of its turns.
        """
        now = anyio.current_time()
        if not self._held or now - self._renewed_at < _RENEW_SECONDS:
            return
        self._renewed_at = now
        for lease in await self._lost(list(self._held)):
            if lease in self._held:
                self._held[lease].cancel()

    async def hold(self, lease: L, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work under its lease, and stop when another process has it. `name` is for the log.

        If the work raises, its lease runs out, and some process claims it again.
        """
        try:
            with anyio.CancelScope() as self._held[lease]:
                await work()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._give_back(lease, name)
            raise
        except Exception as error:
            logger.warning("%s stops for now", name, exc_info=error)
        finally:
            del self._held[lease]

    async def _lost(self, leases: list[L]) -> list[L]:
        """Renew these leases. Return those that another process has."""

        def work(tx: Transaction) -> list[L]:
            until = begin(tx, self._clock()) + LEASE
            return [lease for lease in leases if not self._renew(tx, lease, until)]

        try:
            return await self._store.write(work)
        except Exception as error:
            # They are ours as far as we know; if not, nothing that we write will be taken.
            logger.warning("leases cannot be renewed: %s", error, exc_info=not isinstance(error, HitlError))
            return []

    async def _give_back(self, lease: L, name: str) -> None:
        """End a lease because this process stops, so that the next process need not wait until it runs out."""
        try:
            await self._store.write(lambda tx: self._renew(tx, lease, begin(tx, self._clock())))
        except Unavailable as error:
            logger.info("the lease of %s was not given back: %s", name, error)
