"""The floor of a figure: the very statements that a store ran, run again by hand on a bare connection."""

import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from mcp_hitl.store.sqlite import SqliteStore, lane
from mcp_hitl.store.sqlite.connection import connect

Statement = tuple[str, Any]


class _Recording(sqlite3.Connection):
    """A connection that remembers every statement with its values."""

    kept: list[Statement]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if not sql.startswith(("PRAGMA query_only", "PRAGMA synchronous")):
            self.kept.append((sql, parameters))
        return super().execute(sql, parameters)


@contextmanager
def recorded() -> Generator[list[Statement]]:
    """A store opened in this block keeps what it runs: after the block, all its writes and then all its reads."""
    lanes: list[list[Statement]] = []
    everything: list[Statement] = []

    def open_recording(path: Path) -> sqlite3.Connection:
        db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False, factory=_Recording)
        db.kept = []
        lanes.append(db.kept)
        db.execute("PRAGMA synchronous = FULL")
        return db

    with mock.patch.object(lane, "connect", open_recording):
        yield everything
    for kept in lanes:
        everything += kept


async def seconds_by_hand(statements: list[Statement], path: Path) -> float:
    """Run the statements on a new file, in their transactions, in one thread, and fetch what they find."""
    await SqliteStore(path).close()
    db = connect(path)
    started = time.perf_counter()
    for sql, values in statements:
        db.execute(sql, values).fetchall()
    seconds = time.perf_counter() - started
    db.close()
    return seconds
