"""Which time it is: a clock that is set back revives nothing, and one that ran ahead expires nothing (THREATS T14)."""

from datetime import datetime, timedelta

BELIEVABLE = timedelta(days=1)
"""How far the stored high-water mark may be ahead of the clock before the mark, not the clock, is doubted."""


def present(clock: datetime, mark: datetime | None) -> datetime:
    """The instant to work with, given the clock and the latest instant ever recorded.

    A clock behind the mark was set back, and time stands still until it catches up. A mark that is more than a day
    ahead came from a clock that ran ahead; it is disregarded, so that nothing expires by mistake.
    """
    if mark is None or clock >= mark or mark - clock > BELIEVABLE:
        return clock
    return mark


def latest(clock: datetime, mark: datetime | None) -> datetime:
    """The later of both, for what must never be used too long: an approval's validity (THREATS T13)."""
    return clock if mark is None else max(clock, mark)
