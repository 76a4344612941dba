"""Full cycles (submit, then approve) per second through the desk, beside the floor: the same statements by hand.

The floor is a bare `sqlite3` connection with the same pragmas and schema, in one thread, with as many cycles in each
commit as there are callers at once. The ratio within one run says what the desk itself costs.
"""

import asyncio
import sqlite3
import time
from pathlib import Path

from benchmarks.figures import ANA, Figure, database, lunch
from benchmarks.waiting import said
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approval import Status
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.sqlite.connection import connect

CYCLES = 800


async def measure() -> list[Figure]:
    """Alone and 16 at once."""
    figures: list[Figure] = []
    for together, called in ((1, "alone"), (16, "16 at once")):
        with database() as path:
            desk = await _through_the_desk(path, together)
            floor = _by_hand(path, together)
        figures += [
            Figure(f"submit + approve through the desk, {called}", desk, "cycles/s"),
            Figure(f"the same statements by hand, {called}", floor, "cycles/s"),
            Figure(f"desk / by hand, {called}", desk / floor, "ratio"),
        ]
    return figures


async def _through_the_desk(path: Path, together: int) -> float:
    store = SqliteStore(path)
    desk = Desk(store, inbox="nowhere")
    numbers = iter(range(CYCLES))

    async def caller() -> None:
        for number in numbers:
            approval = await desk.submit(ANA, "expense", lunch(number))
            assert (await desk.decide(said(approval))).status is Status.APPROVED

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(together)))
    seconds = time.perf_counter() - started
    await store.close()
    return CYCLES / seconds


def _by_hand(path: Path, together: int) -> float:
    """Copy what the desk wrote, statement by statement, under other ids."""
    db = connect(path)
    approvals = db.execute("SELECT * FROM approvals").fetchall()
    last = db.execute("SELECT max(seq) FROM audit").fetchone()[0]
    columns = ", ".join("?" * len(approvals[0]))
    started = time.perf_counter()
    for first in range(0, CYCLES, together):
        batch = list(enumerate(approvals[first : first + together], start=first))
        db.execute("BEGIN IMMEDIATE")
        for number, approval in batch:
            pending = ("hand" + approval[0], *approval[1:4], "pending", *approval[5:11], None, *approval[12:])
            db.execute(f"INSERT INTO approvals VALUES ({columns})", pending)
            _append(db, last + 3 * number + 1, pending[0], "opened")
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        for number, approval in batch:
            name = "hand" + approval[0]
            db.execute("SELECT * FROM approvals WHERE id = ?", (name,)).fetchone()
            db.execute(
                "INSERT INTO decisions VALUES (?, 1, 1, 'os:ana', 'os-user', 'approve', NULL, 'local', NULL, 0)",
                (name,),
            )
            db.execute(
                "UPDATE approvals SET status = 'approved', resolved_at = 0 WHERE id = ? AND status = 'pending'", (name,)
            )
            _append(db, last + 3 * number + 2, name, "decided")
            _append(db, last + 3 * number + 3, name, "approved")
        db.execute("COMMIT")
    seconds = time.perf_counter() - started
    db.close()
    return CYCLES / seconds


def _append(db: sqlite3.Connection, seq: int, name: str, event: str) -> None:
    db.execute("INSERT INTO audit VALUES (?, ?, ?, 1, 'os:ana', 'os-user', NULL, 0, '{}')", (seq, name, event))
