"""When a process looks at things again: at all of them together, since to wake costs more than to look."""

import os
from math import floor

_STEPS = (1.0, 0.5, 0.25)
"""Each second has the same moments, and those of a longer step are among those of a shorter one."""
_GOLDEN = 0.618034


def next_beat(now: float, seconds: float) -> float:
    """Return when to look again, at most `seconds` from `now`, at a moment at which this process wakes anyway.

    Processes that share a database wake at different moments.
    """
    step = next((step for step in _STEPS if step <= seconds), None)
    if step is None:
        return now + seconds
    phase = os.getpid() * _GOLDEN % 1
    return floor((now + seconds - phase) / step) * step + phase
