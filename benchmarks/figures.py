"""What a benchmark reports, and what several of them need."""

import statistics
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcp_hitl.domain.policy.kinds import BUILT_IN, Limits
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook

ANA = Principal("os:ana", Established.OS_USER)
_NO_LIMIT = Limits(per_minute=None, open_per_requester=None, open_bytes=None)
UNLIMITED = Rulebook(kinds={name: replace(kind, limits=_NO_LIMIT) for name, kind in BUILT_IN.items()})
"""What is measured asks as fast as it can."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: what was measured, the value, its unit, and what it should be."""

    what: str
    value: float
    unit: str
    aim: str = ""


@contextmanager
def database() -> Generator[Path]:
    """A path for a database that goes away again."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "hitl.db"


def lunch(number: int) -> dict[str, Any]:
    """An expense like no other."""
    return {"amount": number + 1, "currency": "USD", "description": "Lunch"}


def spread(what: str, seconds: list[float]) -> list[Figure]:
    """The median and the 95th percentile of some times."""
    ordered = sorted(1000 * each for each in seconds)
    return [
        Figure(f"{what}, median", statistics.median(ordered), "ms"),
        Figure(f"{what}, 95th percentile", ordered[int(0.95 * (len(ordered) - 1))], "ms"),
    ]
