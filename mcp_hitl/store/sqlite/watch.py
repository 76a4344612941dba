"""Tells when somebody has committed: this process, which says so, or another one, which writes the newest head then.

A process writes the head beside the database once its commit can be seen, so that is what is watched: the log beside
the database is written before. What is not told in this way is found by looking from time to time.
"""

import asyncio
import math
import os
import sqlite3
import time
from collections.abc import Callable, Hashable
from contextlib import suppress

from mcp_hitl.domain.values.beats import next_beat
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.sqlite.place import Place, beside
from mcp_hitl.store.sqlite.watch_file import watch_file

LOOK_SECONDS = 0.5
"""How often a waiting process looks by itself whether another has committed, and whether the file is still there."""
UNTOLD_SECONDS = 0.25
"""How often it does where the system tells nothing."""
A_LOOK = 0.025
AT_ONCE = 10
"""Of commits of others, it looks at so many at once, and at one each `A_LOOK` seconds if they keep coming."""
_SETTLED = 1_000_000_000
"""A file that was changed so many nanoseconds ago has this change in its times; a later one will differ."""

_Sleeper = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class Pace:
    """Keeps who hears of commits that keep coming from looking at each of them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Go by `clock`, in seconds."""
        self._clock = clock
        self._paid_to = -math.inf

    def pause(self) -> float:
        """Return how long to wait for more before the next look."""
        now = self._clock()
        self._paid_to = max(self._paid_to, now - AT_ONCE * A_LOOK) + A_LOOK
        return max(0.0, self._paid_to - now)


class Watch:
    """Watches the database at a place, through a connection of its own."""

    def __init__(self, place: Place, db: sqlite3.Connection, clock: Callable[[], float] = time.monotonic) -> None:
        """Take `db` over. What was committed until now is known. `clock` counts seconds."""
        self._place = place
        self._db = db
        self._heads = watch_file(beside(place.path, ".head"))
        self._files = [str(beside(place.path, suffix)) for suffix in ("", "-wal", ".head")]
        self._seen = self._version()
        self._pace = Pace(clock)
        self._sleeper: _Sleeper | None = None
        self._listening = False

    @property
    def is_told(self) -> bool:
        """True if the system tells of others' commits."""
        return self._heads is not None

    def announce(self) -> None:
        """Say that this process has committed; from any thread."""
        if (sleeper := self._sleeper) is not None:
            loop, woken = sleeper
            with suppress(RuntimeError):  # the loop closed meanwhile, so nobody waits
                loop.call_soon_threadsafe(woken.set)

    async def changed(self) -> None:
        """See `Store.changed`.

        Raises:
            Unavailable: the path no longer leads to the file, or it cannot be read.
        """
        if self._has_changed():
            return
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._sleeper = loop, woken
        try:
            while True:
                self._listen(loop, woken)  # before the look, so that nothing comes between it and waiting
                if self._has_changed():
                    return
                look = loop.call_at(next_beat(loop.time(), LOOK_SECONDS if self.is_told else UNTOLD_SECONDS), woken.set)
                try:
                    await woken.wait()
                finally:
                    look.cancel()
                woken.clear()
        finally:
            self._sleeper = None
            self._stop_listening(loop)

    def stamp(self) -> Hashable | None:
        """See `Store.stamp`."""
        found = [_times(file) for file in self._files]
        if any(time.time_ns() - changed < _SETTLED for changed, *_ in found):
            return None
        with suppress(Unavailable):
            return self._version(), *found

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
        if self._heads is not None:
            self._heads.close()
            self._heads = None

    def _listen(self, loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
        """Set `woken` once somebody has written a head, to the file that is there now."""
        if self._heads is not None:
            self._heads.attend()
        if self._heads is None or self._listening:
            return

        def rung() -> None:
            self._stop_listening(loop)
            loop.call_later(self._pace.pause(), woken.set)

        self._heads.drain()
        loop.add_reader(self._heads, rung)
        self._listening = True

    def _stop_listening(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._heads is not None and self._listening:
            self._listening = False
            loop.remove_reader(self._heads)

    def _has_changed(self) -> bool:
        self._place.check()
        was, self._seen = self._seen, self._version()
        return self._seen != was

    def _version(self) -> int:
        try:
            return self._db.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            raise Unavailable(f"The database cannot be watched: {error}.") from error


def _times(file: str) -> tuple[int, int, int]:
    try:
        found = os.stat(file)
    except OSError:
        return 0, 0, 0
    return found.st_ctime_ns, found.st_ino, found.st_size
