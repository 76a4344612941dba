"""The time that a desk goes by: the computer's clock, unless it leaps ahead and nobody has confirmed it."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mcp_hitl.domain.values.clock import SETTLING, Boot, believed, present
from mcp_hitl.domain.values.instants import from_ms, to_ms

Clock = Callable[[], datetime]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def system_clock() -> datetime:
    """Return the present instant in UTC, with the precision of the store."""
    return from_ms(to_ms(datetime.now(UTC)))


def since_boot() -> timedelta:
    """Return the time since the computer was started, or since some other fixed moment; sleep counts.

    Nobody can set this clock.
    """
    if sys.platform == "linux":
        return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
    if sys.platform == "darwin":
        return timedelta(seconds=time.clock_gettime(time.CLOCK_MONOTONIC))
    return timedelta(seconds=time.monotonic())


def boot_id() -> str | None:
    """Return what distinguishes this start of the computer from every other; None if that cannot be known."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


class Timekeeper:
    """Tells the time, and remembers when the computer was started by a clock that was believed.

    A clock that leaps ahead while the computer runs is not believed until a person confirms it (THREATS T44): the time
    goes on as if it had not leapt. While a clock that was set back catches up, the time goes on at half speed: if it
    stood still, nothing that takes a minute would ever end.
    """

    def __init__(self, wall: Clock, running: Callable[[], timedelta] | None = None, boot_id: str | None = None) -> None:
        """Tell the time of `wall`, and compare it with `running`, which says how long the computer has been running.

        `boot_id` distinguishes this start of the computer from every other.
        """
        self.wall = wall
        self._running = running
        self.boot_id = boot_id
        self._booted: datetime | None = None
        """When the computer was started; None as long as nothing is known, and then the clock is believed."""
        self._latest: tuple[datetime, timedelta] | None = None
        """The latest time told, and how long the computer had been running then."""

    def __call__(self) -> datetime:
        """Return the present time."""
        wall = self.wall()
        if self._running is None or self._booted is None:
            return wall
        running = self._running()
        expected = self._booted + running
        now = believed(wall, expected)
        self._booted = max(self._booted, now - running)
        return from_ms(to_ms(now if self.boot_id is None else self._onward(now, expected, running)))

    def check(self, known: Boot | None, mark: datetime) -> Boot | None:
        """Go by what the database knows of the start `boot_id`. Return what it should know instead, or None.

        `mark` is the latest recorded time: a clock that only comes up to it has not leapt, and one that is behind it
        was set back.
        """
        if self._running is None or (running := self._running()) < SETTLING:
            return None
        wall = self.wall()
        recorded = min(mark, present(wall, mark))
        if known is not None:
            self._booted = known.at
        self._booted = max(self._booted or wall - running, recorded - running)
        if self._latest is None or self._latest[0] < recorded:
            self._latest = recorded, running
        self()
        return self._news(known)

    @property
    def catches_up(self) -> bool:
        """True while the clock is behind the time, because it was set back."""
        return self._latest is not None and self.wall() < self._latest[0]

    def confirm(self) -> Boot | None:
        """Believe the clock as it is. Return what the database should know of the computer's start."""
        if self._running is None:
            return None
        self._booted, self._latest = self.wall() - self._running(), None
        return self._news(None)

    def _onward(self, clock: datetime, expected: datetime, running: timedelta) -> datetime:
        """Return the clock's time, or one to which the time has gone on while the clock, which was set back, is behind.

        It is never later than `expected`, which goes back when a person resets the clock.
        """
        latest, since = self._latest or (clock, running)
        now = present(clock, min(latest + (running - since) / 2, expected))
        self._latest = now, running
        return now

    def _news(self, known: Boot | None) -> Boot | None:
        if self.boot_id is None or self._booted is None:
            return None
        told = from_ms(to_ms(self._booted))
        same = known is not None and abs(told - known.at) < timedelta(minutes=1)
        return None if same else Boot(self.boot_id, told)


def told_by(clock: Clock | None) -> Timekeeper:
    """Return the timekeeper that goes by `clock`; None means this computer."""
    if clock is None:
        return Timekeeper(system_clock, since_boot, boot_id())
    return clock if isinstance(clock, Timekeeper) else Timekeeper(clock)
