"""A glance reads a database and changes nothing: no file, no right, no schema."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from samples import START

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.sqlite.read_only import glance


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database that nobody has open."""

    async def make() -> None:
        await SqliteStore(tmp_path / "hitl.db").close()

    anyio.run(make)
    return tmp_path / "hitl.db"


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mode, path.read_bytes()) for path in folder.iterdir()}


def test_a_glance_reads_and_leaves_everything_as_it_was(database: Path) -> None:
    database.chmod(0o644)
    before = state(database.parent)
    assert glance(database, lambda view: view.log.head()[0]) == 0
    assert state(database.parent) == before


def test_a_glance_cannot_write(database: Path) -> None:
    with pytest.raises(Unavailable, match="readonly"):
        glance(database, lambda view: view.facts.set_governed())  # type: ignore[attr-defined]  # pyright: ignore


def test_what_a_crash_has_left_is_read_and_stays_for_the_next_use(database: Path) -> None:
    crashed = database.with_name("crashed") / "hitl.db"
    crashed.parent.mkdir()

    async def crash() -> None:
        store = SqliteStore(database)
        await store.write(lambda tx: tx.stops.pause(None, "os:ana", START))
        for name in ("hitl.db", "hitl.db-wal"):
            shutil.copy(database.with_name(name), crashed.with_name(name))
        await store.close()

    anyio.run(crash)
    before = state(crashed.parent)
    assert [stop.by for stop in glance(crashed, lambda view: view.stops.all())] == ["os:ana"]
    after = state(crashed.parent)
    assert {name: after[name] for name in before} == before


def older(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 0")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 1")


def missing(path: Path) -> None:
    path.unlink()


def no_database(path: Path) -> None:
    path.write_text("Dear diary, " * 100)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (older, "is older than this program"),
        (newer, "newer version"),
        (foreign, "not a database of mcp-hitl"),
        (missing, "unable to open"),
        (no_database, "not a database"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_read_is_told_and_left_alone(database: Path, change: Callable[[Path], None], says: str) -> None:
    change(database)
    before = state(database.parent)
    with pytest.raises(Unavailable, match=says):
        glance(database, lambda view: view.log.head())
    assert state(database.parent) == before
