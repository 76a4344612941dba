"""The first page of what is pending: 100 pending, and 10,000 pending beside 1,000,000 decided."""

import statistics
import time
from pathlib import Path

from benchmarks.figures import ANA, Figure, database, lunch
from mcp_hitl.desk import Desk
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.sqlite.connection import connect

ROUNDS = 60
SMALL, LARGE, DECIDED = 100, 10_000, 1_000_000


async def measure() -> list[Figure]:
    """Medians in one run, the two in turn."""
    with database() as one, database() as other:
        await _fill(one, SMALL, 0)
        await _fill(other, LARGE, DECIDED)
        stores = SqliteStore(one), SqliteStore(other)
        small, large = [Desk(store, effects=EFFECTS) for store in stores]
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for desk, times in ((small, taken[0]), (large, taken[1])):
                started = time.perf_counter()
                assert len((await desk.search.pending(ANA)).approvals) == 20
                times.append(1000 * (time.perf_counter() - started))
        for store in stores:
            await store.close()
    medians = [statistics.median(times) for times in taken]
    return [
        Figure(f"first page of {SMALL} pending", medians[0], "ms"),
        Figure(f"first page of {LARGE:,} pending beside {DECIDED:,} decided", medians[1], "ms"),
        Figure("large / small page", medians[1] / medians[0], "ratio", "at most 2"),
    ]


async def _fill(path: Path, pending: int, decided: int) -> None:
    """One approval through the desk, and the others as copies of it."""
    store = SqliteStore(path)
    model = (await Desk(store, effects=EFFECTS).approvals.submit(ANA, "action", lunch(0), claim="Lunch")).id
    await store.close()
    db = connect(path)
    columns = [row[1] for row in db.execute("PRAGMA table_info(approvals)")]
    for count, status, prefix in ((pending - 1, "pending", "apr_1"), (decided, "approved", "apr_0")):
        values = {name: name for name in columns} | {"id": f"'{prefix}' || printf('%025d', n)", "status": f"'{status}'"}
        if status != "pending":
            values |= {"resolved_at": "requested_at", "next_at": "NULL"}
        db.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
            f"INSERT INTO approvals SELECT {', '.join(values[name] for name in columns)} "
            f"FROM numbers, approvals WHERE id = '{model}' AND {count} > 0"
        )
    db.close()
