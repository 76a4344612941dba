"""Surveys on SQLite: a connection each, which is closed whatever happens."""

import threading
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.sql.transaction import SqlTransaction
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.sqlite.connection import connect
from mcp_hitl.store.view import View

pytestmark = pytest.mark.anyio
ENDLESS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT count(*) FROM numbers"


async def test_cancelling_ends_a_statement_that_would_never_end(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hitl.db")
    begun = threading.Event()

    def look(view: View) -> None:
        assert isinstance(view, SqlTransaction)
        begun.set()
        view.execute(ENDLESS)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.survey, look)
            assert await anyio.to_thread.run_sync(begun.wait, 30)
            tasks.cancel_scope.cancel()
        await store.close()  # would wait for its thread


async def test_a_survey_leaves_no_file_open_behind(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hitl.db")
    await store.survey(lambda view: view.log.last_seq())
    await store.close()
    # The last connection to let go takes the write-ahead log away.
    assert not (tmp_path / "hitl.db-wal").exists()


async def test_a_file_that_became_newer_is_not_surveyed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hitl.db")
    with closing(connect(store.path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(Unavailable, match="newer version of mcp-hitl"):
        await store.survey(lambda view: view.log.last_seq())
    await store.close()


async def test_a_file_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hitl.db")
    with closing(connect(store.path)) as db:
        db.execute("DROP TABLE audit")
    with pytest.raises(Unavailable, match="The database cannot be read now: no such table: audit"):
        await store.survey(lambda view: view.log.last_seq())
    await store.close()
