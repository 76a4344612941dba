"""The emergency stop of one kind or of everything (THREATS T15)."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Stop:
    """What is paused (`kind`, or everything if it is None), by whom and since when."""

    kind: str | None
    by: str
    at: datetime
