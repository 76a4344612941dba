"""Lengths of time as people write them: `7 days`, `1 hour`, `30 minutes`, or ISO 8601 (`P7D`, `PT1H30M`)."""

import re
from datetime import timedelta

from mcp_hitl.domain.values.errors import Invalid

_UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_WORDS = re.compile(r"(\d{1,6}) (second|minute|hour|day|week)s?", re.ASCII)
_ISO = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)
LONGEST = timedelta(days=3660)


def duration(text: str) -> timedelta:
    """Return the length of time that `text` describes: more than zero, at most ten years.

    Raises:
        Invalid: `text` is not such a length of time.
    """
    seconds = 0
    if words := _WORDS.fullmatch(text.strip()):
        seconds = int(words[1]) * _UNITS[words[2]]
    elif (iso := _ISO.fullmatch(text.strip())) and not text.strip().endswith("T"):
        weeks, days, hours, minutes, rest = (int(part or 0) for part in iso.groups())
        seconds = ((weeks * 7 + days) * 24 + hours) * 3_600 + minutes * 60 + rest
    if not 0 < seconds <= LONGEST.total_seconds():
        raise Invalid("must be a length of time such as '7 days', '1 hour', '30 minutes' or 'PT90M'")
    return timedelta(seconds=seconds)
