"""The time that a desk goes by: the computer's clock, unless it leaps ahead and nobody has confirmed it."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mcp_hitl.domain.values.clock import SETTLING, Boot, believed
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
    goes on as if it had not leapt.
    """

    def __init__(self, wall: Clock, running: Callable[[], timedelta] | None = None, boot_id: str | None = None) -> None:
        """Tell the time of `wall`, and compare it with `running`, which says how long the computer has been running.

        `boot_id` distinguishes this start of the computer from every other.
        """
        self.wall = wall
        self._running = running
        self._boot_id = boot_id
        self._booted: datetime | None = None
        """When the computer was started; None as long as nothing is known, and then the clock is believed."""

    def __call__(self) -> datetime:
        """Return the present time."""
        wall = self.wall()
        if self._running is None or self._booted is None:
            return wall
        running = self._running()
        now = believed(wall, self._booted + running)
        self._booted = max(self._booted, now - running)
        return now

    def check(self, known: Boot | None, mark: datetime) -> Boot | None:
        """Go by what the database knows of this start of the computer. Return what it should know instead, or None.

        `mark` is the latest recorded time: a clock that only comes up to it has not leapt.
        """
        if self._running is None or (running := self._running()) < SETTLING:
            return None
        wall = self.wall()
        if known is not None and known.id == self._boot_id:
            self._booted = known.at
        self._booted = max(self._booted or wall - running, min(mark, wall) - running)
        self()
        return self._news(known)

    def confirm(self) -> Boot | None:
        """Believe the clock as it is. Return what the database should know of the computer's start."""
        if self._running is None:
            return None
        self._booted = self.wall() - self._running()
        return self._news(None)

    def _news(self, known: Boot | None) -> Boot | None:
        if self._boot_id is None or self._booted is None:
            return None
        told = from_ms(to_ms(self._booted))
        same = known is not None and known.id == self._boot_id and abs(told - known.at) < timedelta(minutes=1)
        return None if same else Boot(self._boot_id, told)


def told_by(clock: Clock | None) -> Timekeeper:
    """Return the timekeeper that goes by `clock`; None means this computer."""
    if clock is None:
        return Timekeeper(system_clock, since_boot, boot_id())
    return clock if isinstance(clock, Timekeeper) else Timekeeper(clock)
