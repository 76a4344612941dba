"""What a benchmark reports, and what several of them need."""

import statistics
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_hitl.domain.policy.principal import Established, Principal

ANA = Principal("os:ana", Established.OS_USER)


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
