"""Claims: work that several processes could do, and that one of them does at a time."""

import logging
from collections.abc import Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import anyio

from mcp_hitl.desk.transactions.log_entries import begin
from mcp_hitl.domain.approvals.flow import LEASE
from mcp_hitl.domain.values.errors import HitlError, Unavailable
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

logger = logging.getLogger(__name__)

L = TypeVar("L", bound=Hashable)
L_contra = TypeVar("L_contra", contravariant=True)
T = TypeVar("T")

_RENEW_SECONDS = 10.0


class Leases(Protocol[L_contra]):
    """One kind of leases in the database."""

    @property
    def name(self) -> str:
        """The first part of the name of the locks of those who hold such leases."""
        ...

    def renew(self, tx: Transaction, lease: L_contra, until: datetime) -> bool:
        """Renew a lease. Return False if another process has the work."""
        ...

    def release(self, tx: Transaction, lease: L_contra, until: datetime) -> bool:
        """Give a lease back, so that anybody can claim the work after `until`. Return False as `renew` does."""
        ...


@dataclass(frozen=True, slots=True)
class Taking(Generic[L]):
    """What a transaction needs that claims work at `now`, `until` when, for the lock `holder`, which has `held`."""

    now: datetime
    until: datetime
    holder: str
    held: Collection[L]


class Claims(Generic[L]):
    """The work that this process has claimed.

    A claim is a lease in the database, and it names its holder: a lock of the store, which this process holds while it
    has claims. The system frees the lock when the process dies, and only then, whatever the clock does. Another process
    claims work when its lease has run out and nobody holds the lock. The lease is renewed while the work goes on, and
    given back if this process stops.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime], leases: Leases[L], *, at_once: int) -> None:
        """Hold at most `at_once` claims."""
        self._store = store
        self._clock = clock
        self._leases = leases
        self._at_once = at_once
        self._held: dict[L, anyio.CancelScope] = {}
        self._holder: str | None = None
        self._renewed_at = 0.0

    @property
    def room(self) -> int:
        """The number of claims that this process can still take."""
        return self._at_once - len(self._held)

    async def take(self, claim: Callable[[Transaction, Taking[L]], list[T]], lease_of: Callable[[T], L]) -> list[T]:
        """Return what `claim` claims in one transaction; it must not claim more than there is room.

        After this, `hold` each of them, or `drop` them all.
        """
        if self._holder is None or not self._store.hold(self._holder):  # a database on a server may have lost it
            self._holder = self._store.hold_one_of(self._leases.name)
        holder = self._holder

        def work(tx: Transaction) -> list[T]:
            now = begin(tx, self._clock())
            return claim(tx, Taking(now, now + LEASE, holder, frozenset(self._held)))

        taken: list[T] = []
        try:
            with anyio.CancelScope(shield=True):  # or what a process claims that stops now would stay so for a while
                taken = await self._store.write(work)
        finally:
            if not self._held:
                self._renewed_at = anyio.current_time()
            self._held.update((lease_of(one), anyio.CancelScope()) for one in taken)
            self._free_lock()
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
            with self._held[lease]:
                await work()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._give_back(lease, name)
            raise
        except Exception as error:
            logger.warning("%s stops for now", name, exc_info=error)
        finally:
            self._held.pop(lease, None)
            self._free_lock()

    def drop(self) -> None:
        """Claim nothing any more: the leases run out by themselves."""
        self._held.clear()
        self._free_lock()

    def _free_lock(self) -> None:
        if self._holder is not None and not self._held:
            self._store.let_go(self._holder)
            self._holder = None

    async def _lost(self, leases: list[L]) -> list[L]:
        """Renew these leases. Return those that another process has."""

        def work(tx: Transaction) -> list[L]:
            until = begin(tx, self._clock()) + LEASE
            return [lease for lease in leases if not self._leases.renew(tx, lease, until)]

        try:
            return await self._store.write(work)
        except Exception as error:
            # They are ours as far as we know; if not, nothing that we write will be taken.
            logger.warning("leases cannot be renewed: %s", error, exc_info=not isinstance(error, HitlError))
            return []

    async def _give_back(self, lease: L, name: str) -> None:
        """End a lease because this process stops, so that the next process need not wait until it runs out."""
        try:
            await self._store.write(lambda tx: self._leases.release(tx, lease, begin(tx, self._clock())))
        except Unavailable as error:
            logger.info("the lease of %s was not given back: %s", name, error)
