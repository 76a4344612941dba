"""The floor of a figure: the very statements that a store ran, run again by hand on a bare connection."""

import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.sqlite import session as worker
from mcp_hitl.store.sqlite.connection import connect
from mcp_hitl.store.sqlite.database import SqliteDatabase

Statement = tuple[str, Any]


@contextmanager
def recorded() -> Generator[list[list[Statement]]]:
    """A store opened in this block keeps what it runs: its transactions of both threads, in the order they ended."""
    ended: list[list[Statement]] = []

    class Recording(SqliteDatabase):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            self.present: list[Statement] = []

        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            cursor = super().execute(sql, parameters)
            if self.in_transaction or self.present:
                self.present.append((sql, parameters))
            if self.present and not self.in_transaction:
                ended.append(self.present)
                self.present = []
            return cursor

    def open_recording(path: Path) -> SqliteDatabase:
        return connect(path, Recording)

    with mock.patch.object(worker, "connect", open_recording):
        yield ended
    if not ended:
        raise AssertionError("no statement was recorded")


async def seconds_by_hand(transactions: list[list[Statement]], path: Path) -> float:
    """Run the transactions on a new file, in one thread, and fetch what they find."""
    await SqliteStore(path).close()
    db = connect(path)
    started = time.perf_counter()
    for statements in transactions:
        for sql, values in statements:
            db.execute(sql, values).fetchall()
    seconds = time.perf_counter() - started
    db.close()
    return seconds
