"""Behind a real PgBouncer in transaction mode: everything works, and others' commits are found by looking."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import anyio
import postgres
import psycopg
import pytest
from store_samples import an_entry, append, insert, listed, numbered

from mcp_hitl.store.postgres import PostgresStore, watch

pytestmark = pytest.mark.anyio
PATIENCE = 30


@pytest.fixture
def pooled(tmp_path: Path) -> Generator[str]:
    """The address of the test's own database behind a pooler that hands each transaction to another connection."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs PgBouncer: install the package “pgbouncer”")
    there = postgres.database_of(tmp_path)
    folder = Path(tempfile.mkdtemp(prefix="hitl-pool-"))
    (folder / "users.txt").write_text('"hitl" ""\n')
    (folder / "pool.ini").write_text(
        f"[databases]\n* = host={postgres.server().folder}\n[pgbouncer]\npool_mode = transaction\n"
        f"listen_addr =\nlisten_port = 6432\nunix_socket_dir = {folder}\nauth_type = trust\n"
        f"auth_file = {folder}/users.txt\nserver_round_robin = 1\nmin_pool_size = 3\ndefault_pool_size = 10\n"
    )
    root = os.getuid() == 0
    for place in (folder, *folder.iterdir()) if root else ():
        shutil.chown(place, "nobody")
    process = subprocess.Popen(
        [program, "--quiet", folder / "pool.ini"], user="nobody" if root else None, stderr=subprocess.DEVNULL
    )
    url = there.replace(str(postgres.server().folder), str(folder)) + "&port=6432"
    connected = False
    while not connected:
        assert process.poll() is None
        with suppress(psycopg.Error):
            psycopg.connect(url).close()
            connected = True
    yield url
    process.terminate()
    process.wait()
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def soon_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for a notice that a pooler swallows."""
    monkeypatch.setattr(watch, "_HEARD_SECONDS", 0.2)


async def test_behind_a_pooler_every_statement_works_however_often_it_runs(pooled: str) -> None:
    one, other = PostgresStore(pooled), PostgresStore(pooled)
    for number in range(20):
        for store in (one, other):
            await insert(store, numbered(2 * number + (store is one)))
            assert len(await listed(store)) == 2 * number + 1 + (store is other)
    for store in (one, other):
        await store.close()


async def test_behind_a_pooler_others_commits_are_found_by_looking(
    pooled: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = PostgresStore(pooled), PostgresStore(pooled)
    assert "this server does not pass NOTIFY on" in caplog.text
    with anyio.fail_after(PATIENCE):
        await append(other, an_entry(numbered(1)))
        while await one.read(lambda view: view.log.last_seq()) != 1:
            await one.changed()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.changed)
            await anyio.wait_all_tasks_blocked()
            await append(other, an_entry(numbered(2)))
    for store in (one, other):
        await store.close()


async def test_behind_a_pooler_one_process_holds_a_lock(pooled: str) -> None:
    one, other = PostgresStore(pooled), PostgresStore(pooled)
    assert one.hold("inbox")
    for _ in range(8):
        assert one.hold("inbox") and not other.hold("inbox") and other.is_held("inbox")
    one.let_go("inbox")
    with anyio.fail_after(PATIENCE):
        while not other.hold("inbox"):
            await anyio.lowlevel.checkpoint()
    for store in (one, other):
        await store.close()
