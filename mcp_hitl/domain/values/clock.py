"""The present time: setting a clock back revives nothing, and a clock that ran ahead expires nothing (THREATS T14)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

BELIEVABLE = timedelta(days=1)
"""If the stored latest instant is further ahead of the clock than this, we doubt the stored instant, not the clock."""

LEAP = timedelta(days=5)
"""How far a clock may leap ahead while its computer runs. A virtual machine may rest over a long weekend."""
SETTLING = timedelta(minutes=10)
"""After a computer was started, its clock may first have to be set: so long, it may leap any distance."""


@dataclass(frozen=True, slots=True)
class Boot:
    """One start of a computer, and when that was, by a clock that was believed."""

    id: str
    at: datetime


def believed(clock: datetime, expected: datetime) -> datetime:
    """Return the clock's time, unless it is so far ahead of what is expected that a person has to confirm it."""
    return expected if clock - expected > LEAP else clock


def present(clock: datetime, mark: datetime | None) -> datetime:
    """Return the instant to work with, given the clock and the latest instant ever recorded (the mark).

    If the clock is behind the mark, it was set back, and we use the mark until the clock catches up. If the mark is
    more than a day ahead, it came from a clock that ran ahead; we ignore it, so that nothing expires by mistake.
    """
    if mark is None or clock >= mark or mark - clock > BELIEVABLE:
        return clock
    return mark


def latest(clock: datetime, mark: datetime | None) -> datetime:
    """Return the later of the two, for limits that must never be exceeded: an approval's validity (THREATS T13)."""
    return clock if mark is None else max(clock, mark)
