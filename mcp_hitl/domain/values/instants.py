"""Instants: aware UTC datetimes in the code, milliseconds in the store, RFC 3339 with `Z` for everybody else."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def to_ms(at: datetime) -> int:
    """Return the milliseconds since the Unix epoch, rounded down."""
    return (at - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """Return the instant `ms` milliseconds after the Unix epoch."""
    return _EPOCH + ms * _MS


def rfc3339(at: datetime) -> str:
    """Return the instant as text with milliseconds, such as `2026-11-22T12:35:13.120Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def in_words(span: timedelta) -> str:
    """Return a length of time for people, rounded to its largest unit: `3 hours`, `1 minute`, `0 seconds`."""
    seconds = max(0, round(span.total_seconds()))
    for unit, length, smaller in (("day", 86_400, 3_600), ("hour", 3_600, 60), ("minute", 60, 1)):
        if seconds >= length - smaller / 2:  # what rounds to a whole one is one: not "60 minutes"
            count = round(seconds / length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
