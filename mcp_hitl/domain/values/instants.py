"""Instants: aware UTC datetimes in the code, milliseconds in the store, RFC 3339 with `Z` for everybody else."""

from datetime import UTC, datetime, timedelta

LATEST = 253_402_300_799_999
"""The last millisecond that an instant can have; a later one in a database must not stop what goes by it."""
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


def in_words(span: timedelta, *, exactly: bool = False) -> str:
    """Return a length of time for people, rounded to its largest unit: `3 hours`, `1 minute`, `0 seconds`.

    `exactly` takes the largest unit that needs no rounding, the way a policy file may write it: `36 hours`, `7 days`.
    """
    seconds = max(0, round(span.total_seconds()))
    for unit, length, smaller in (("day", 86_400, 3_600), ("hour", 3_600, 60), ("minute", 60, 1)):
        # What rounds to a whole one is one: not "60 minutes".
        if seconds % length == 0 if exactly else seconds >= length - smaller / 2:
            return _counted(round(seconds / length), unit)
    return _counted(seconds, "second")


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"
