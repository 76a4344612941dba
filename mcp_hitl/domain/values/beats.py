"""When a process looks at things again: at all of them together, since to wake costs more than to look."""

import os
from math import floor

BEAT = 0.25
_GOLDEN = 0.618034


def next_beat(now: float, seconds: float) -> float:
    """Return when to look again, at most `seconds` from `now`, at a moment at which this process wakes anyway.

    Processes that share a database wake at different moments.
    """
    if seconds < BEAT:
        return now + seconds
    phase = os.getpid() * _GOLDEN % 1 * BEAT
    return floor((now + seconds - phase) / BEAT) * BEAT + phase
