"""Spares a worker the turns in which it would find nothing."""

from collections.abc import Callable, Hashable
from datetime import datetime

from mcp_hitl.store.store import Store


class Rest:
    """After a look that found nothing: lasts until the database may have changed, or something is due by the clock."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        """Rest from `store` by `clock`."""
        self._store = store
        self._clock = clock
        self._stamp: Hashable | None = None
        self._began = self._until = clock()

    def prepare(self) -> None:
        """Note what the database is like now; then look."""
        self._stamp, self._began = self._store.stamp(), self._clock()
        self._until: datetime | None = self._began

    def until(self, due: datetime | None) -> None:
        """Rest, since nothing was found; `due` is when the clock alone makes something due, if ever."""
        self._until = due

    @property
    def lasts(self) -> bool:
        """True as long as a look would find nothing again. A clock that is set back ends the rest."""
        if self._stamp is None or self._stamp != self._store.stamp():
            return False
        return self._began <= (now := self._clock()) and (self._until is None or now < self._until)
