"""An older copy is written over the file of a running server; and what SQLite does to a busy file is no such thing."""

import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import anyio
import httpx2
from asked import ask, ask_all, on_desk
from wires import http_server

from mcp_hitl.desk import Desk
from mcp_hitl.desk.feed import ANY
from mcp_hitl.domain.evidence.event_names import Event

PATIENCE = 60.0
COMMITS = 2_000 if os.environ.get("SOAK") else 150


def test_t43_a_server_notices_by_itself_and_it_stays_held_when_the_server_has_ended(tmp_path: Path) -> None:
    database, copy = tmp_path / "hitl.db", tmp_path / "copy.db"
    ask(database, "action", {"do": "it"})
    shutil.copy(database, copy)
    ask_all(database, [("action", {"n": number}) for number in range(2)])
    with http_server(database) as (url, process):
        ready = url.removesuffix("/mcp") + "/readyz"
        ask(database, "action", {"do": "more"})
        assert httpx2.get(ready).status_code == 200

        async def written_over(desk: Desk) -> None:
            recorded = anyio.Event()
            with anyio.fail_after(PATIENCE):
                async with desk.open(), desk.feed.listen(ANY, lambda _: recorded.set(), events={Event.RESTORED}):
                    await anyio.to_thread.run_sync(_write_over, database, copy)
                    await recorded.wait()

        on_desk(database, written_over)
        assert httpx2.get(ready).json()["status"] == "held"
        process.terminate()
        process.wait(PATIENCE)

    async def older(desk: Desk) -> int | None:
        return await desk.copies.older()

    assert on_desk(database, older) is not None


def _write_over(database: Path, copy: Path) -> None:
    with copy.open("rb") as source, database.open("r+b") as target:
        target.truncate(0)
        shutil.copyfileobj(source, target)


def test_t43_a_file_that_is_written_and_checkpointed_all_the_time_raises_no_alarm(tmp_path: Path) -> None:
    database, done = tmp_path / "hitl.db", threading.Event()
    found = list[int | None]()
    ask(database, "action", {"do": "it"})

    def checkpoint() -> None:
        with closing(sqlite3.connect(database, isolation_level=None)) as shell:
            while not done.is_set():
                for sort in ("PASSIVE", "RESTART", "TRUNCATE"):
                    shell.execute(f"PRAGMA wal_checkpoint({sort})")

    def look() -> None:
        async def older(desk: Desk) -> None:
            while not done.is_set():
                found.append(await desk.copies.older())

        on_desk(database, older)

    others = [threading.Thread(target=one) for one in (checkpoint, look)]
    for one in others:
        one.start()
    try:
        ask_all(database, [("action", {"n": number}) for number in range(COMMITS)])
    finally:
        done.set()
        for one in others:
            one.join(PATIENCE)
    assert len(found) > COMMITS // 10 and set(found) == {None}
