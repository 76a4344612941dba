"""What a process of its own does in the store's tests; it must be importable where the test modules are not."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from samples import START, an_approval

from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store.sqlite import SqliteStore


def open_at_once(path: Path, number: int, barrier: Barrier, results: "Queue[str | bytes]") -> None:
    """Wait for the others, open the file, write one approval, ask for the shared key; put the key or the mistake."""
    try:
        barrier.wait(60)
        store = SqliteStore(path)
        approval = replace(an_approval(), id=approval_id(START, number))

        async def write() -> None:
            await store.write(lambda tx: tx.approvals.insert(approval))
            await store.close()

        key = store.shared_key()
        asyncio.run(write())
        results.put(key)
    except BaseException as error:  # told to the test, which fails with it
        results.put(repr(error))


def must_find_it_locked(path: Path) -> None:
    """End with 0 if another process holds the whole file, 1 if it does not."""
    with closing(sqlite3.connect(path, timeout=0)) as db:
        try:
            db.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError:
            return
    sys.exit(1)
