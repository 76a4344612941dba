"""How a process hears of what others commit: at once from the system, and else by a look from time to time."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from store_samples import an_entry, append, insert, numbered

from mcp_hitl.store.sqlite import SqliteStore, watch, watch_file
from mcp_hitl.store.sqlite.connection import prepare
from mcp_hitl.store.sqlite.place import Place

pytestmark = pytest.mark.anyio
told = pytest.mark.skipif(sys.platform not in {"linux", "darwin"}, reason="no other system tells of writes")

_APPENDS = """
import sys
from pathlib import Path
import anyio
from store_samples import an_entry, append, numbered
from mcp_hitl.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await append(store, an_entry(numbered(1)))
    await store.close()

anyio.run(main)
"""


@pytest.fixture
def never_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow look never comes due."""
    monkeypatch.setattr(watch, "LOOK_SECONDS", 3_600.0)


async def changes(store: SqliteStore, by: Callable[[], object]) -> None:
    """Wait for a change that is made once `store` waits for it."""

    async def wait() -> None:
        await store.changed()
        waiting.cancel_scope.cancel()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(by)


def appended(path: Path) -> None:
    """Another process adds an entry to the log."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", _APPENDS, path], check=True, env=environment)


@told
@pytest.mark.usefixtures("never_looks")
async def test_a_commit_of_another_process_wakes_without_a_look(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hitl.db")
    await append(store, an_entry(numbered(0)))
    await store.changed()
    await changes(store, lambda: appended(store.path))
    await store.close()


@told
@pytest.mark.usefixtures("never_looks")
async def test_a_commit_between_the_look_and_the_wait_is_not_missed(tmp_path: Path) -> None:
    one, other = SqliteStore(tmp_path / "hitl.db"), SqliteStore(tmp_path / "hitl.db")
    await append(other, an_entry(numbered(0)))
    await one.changed()
    with anyio.fail_after(20):
        for number in range(1, 20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(append, other, an_entry(numbered(number)))
                await one.changed()
    for store in (one, other):
        await store.close()


async def test_what_the_system_does_not_tell_is_found_by_a_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(path: Path) -> None:
        raise OSError("too many instances")

    monkeypatch.setattr(watch_file, "_Inotify", no_room, raising=False)
    monkeypatch.setattr(watch_file, "_Kqueue", no_room, raising=False)
    one, other = SqliteStore(tmp_path / "hitl.db"), SqliteStore(tmp_path / "hitl.db")
    with anyio.fail_after(20):
        await append(other, an_entry(numbered(0)))
        await one.changed()
    for store in (one, other):
        await store.close()


async def test_a_commit_that_says_nothing_in_the_log_is_found_by_a_look(tmp_path: Path) -> None:
    one, other = SqliteStore(tmp_path / "hitl.db"), SqliteStore(tmp_path / "hitl.db")
    with anyio.fail_after(20):
        await insert(other, numbered(0))
        await one.changed()
    for store in (one, other):
        await store.close()


@told
@pytest.mark.usefixtures("never_looks")
async def test_a_file_that_took_the_place_of_the_watched_one_is_watched(tmp_path: Path) -> None:
    one, other = SqliteStore(tmp_path / "hitl.db"), SqliteStore(tmp_path / "hitl.db")
    await append(other, an_entry(numbered(0)))
    await one.changed()
    head = tmp_path / "hitl.db.head"
    head.unlink()
    await append(other, an_entry(numbered(1)))
    assert head.exists()
    await one.changed()
    await changes(one, lambda: anyio.from_thread.run(append, other, an_entry(numbered(2))))
    for store in (one, other):
        await store.close()


@pytest.mark.usefixtures("never_looks")
async def test_nothing_but_a_commit_makes_a_process_look(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "hitl.db")
    await append(first, an_entry(numbered(0)))
    db = prepare(first.path)
    place = Place(first.path)
    watching = watch.Watch(place, db)
    place.remember()
    looks: list[str] = []
    db.set_trace_callback(looks.append)
    with anyio.move_on_after(0.2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watching.changed)
            await anyio.wait_all_tasks_blocked()
            for _ in range(5):
                await first.read(lambda view: view.log.last_seq())
            (tmp_path / "hitl.db.other").write_text("not ours")
            (tmp_path / "hitl.db.head").read_bytes()
    assert len(looks) == 2  # before it listens, and once it does
    watching.close()
    await first.close()


def test_who_hears_of_many_commits_looks_at_the_first_at_once_and_then_paces_itself() -> None:
    now = 100.0
    pace = watch.Pace(lambda: now)
    assert [pace.pause() for _ in range(watch.AT_ONCE)] == pytest.approx([0.0] * watch.AT_ONCE)
    assert pace.pause() == pytest.approx(watch.A_LOOK)
    for _ in range(20):
        now += watch.A_LOOK
        assert pace.pause() == pytest.approx(watch.A_LOOK)
    now += watch.AT_ONCE * watch.A_LOOK
    assert pace.pause() == pytest.approx(0.0)


async def test_a_stamp_stays_the_same_until_something_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = SqliteStore(tmp_path / "hitl.db"), SqliteStore(tmp_path / "hitl.db")
    await append(one, an_entry(numbered(0)))
    assert one.stamp() is None  # what was changed just now may be changed again unseen
    now = watch.time.time_ns
    monkeypatch.setattr(watch.time, "time_ns", lambda: now() + 2_000_000_000)
    stamps = [one.stamp(), one.stamp()]
    await other.read(lambda view: view.log.last_seq())
    stamps.append(one.stamp())
    assert stamps[0] is not None and len(set(stamps)) == 1
    for change in (
        lambda: insert(other, numbered(1)),
        lambda: insert(one, numbered(2)),
        lambda: anyio.to_thread.run_sync(written_over, one.path),
        lambda: anyio.to_thread.run_sync((tmp_path / "hitl.db.head").unlink),
    ):
        await change()
        stamps.append(one.stamp())
        assert len(set(stamps[-2:])) == 2
    for store in (one, other):
        await store.close()


def written_over(path: Path) -> None:
    """Write the first bytes of a file anew, as they are."""
    with path.open("r+b") as file:
        file.write(path.read_bytes()[:16])


async def test_a_database_that_cannot_be_read_has_no_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(tmp_path / "hitl.db")
    now = watch.time.time_ns
    monkeypatch.setattr(watch.time, "time_ns", lambda: now() + 2_000_000_000)
    assert store.stamp() is not None
    await store.close()
    assert store.stamp() is None
