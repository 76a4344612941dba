"""The SQLite file: its owner's alone, opened by many at once, and refused with a sentence where it is not ours."""

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from samples import START, an_approval
from sqlite_utils import Database
from store_processes import must_find_it_locked, open_at_once

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.session import Session
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.canonical import canonical
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.domain.values.instants import from_ms
from mcp_hitl.store import rows
from mcp_hitl.store.sqlite import SqliteStore, connection, files
from mcp_hitl.store.sqlite.schema import MIGRATIONS

anyio_test = pytest.mark.anyio
posix = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
PROCESSES = 6


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
@anyio_test
async def test_t17_the_files_and_their_folder_are_their_owners_alone(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        store = SqliteStore(tmp_path / "new" / "folder" / "hitl.db")
        await store.write(lambda tx: tx.approvals.insert(an_approval()))
        modes = {path.name: mode_of(path) for path in store.path.parent.iterdir()}
        await store.close()
    finally:
        os.umask(umask)
    assert modes == {"hitl.db": 0o600, "hitl.db-wal": 0o600, "hitl.db-shm": 0o600}
    assert mode_of(tmp_path / "new" / "folder") == 0o700


@posix
@anyio_test
async def test_t17_an_existing_file_that_others_could_read_is_tightened(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "hitl.db")
    await first.write(lambda tx: tx.approvals.insert(an_approval()))
    existing = [first.path, *(first.path.with_name(f"hitl.db-{name}") for name in ("wal", "shm"))]
    for path in existing:
        path.chmod(0o666)
    second = SqliteStore(first.path)
    assert [mode_of(path) for path in existing] == [0o600] * 3
    assert await second.read(lambda view: view.approvals.get(an_approval().id)) == an_approval()
    await second.close()
    await first.close()


@posix
def test_opening_a_second_time_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """Closing any descriptor of a file ends all POSIX locks of the process on it, SQLite's included."""
    files.make_private(tmp_path / "hitl.db")
    with closing(sqlite3.connect(tmp_path / "hitl.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("BEGIN EXCLUSIVE")
        files.make_private(tmp_path / "hitl.db")
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=must_find_it_locked, args=(tmp_path / "hitl.db",))
        process.start()
        process.join(60)
    assert process.exitcode == 0


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"^The database .* cannot be created: "):
        SqliteStore(tmp_path)
    assert tmp_path.is_dir()


def test_a_place_where_no_file_can_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"^The database .* cannot be created: "):
        SqliteStore(tmp_path / "file" / "hitl.db")


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes.\n" * 100)
    path.chmod(0o644)
    before = path.stat()
    with pytest.raises(Unavailable, match=r"^The database .*notes\.txt cannot be opened: file is not a database"):
        SqliteStore(path)
    assert path.read_text() == "These are my notes.\n" * 100
    assert (path.stat().st_mode, path.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


@pytest.mark.parametrize("script", ["CREATE TABLE t (x)", "PRAGMA application_id = 7", "PRAGMA user_version = 7"])
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, script: str, mode: str) -> None:
    path = tmp_path / "100% theirs?.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        db.executescript(script)
    path.chmod(0o644)
    before = path.stat()
    content = path.read_bytes()
    with pytest.raises(Unavailable, match=r"theirs\?\.db is another program's database\. It was not changed"):
        SqliteStore(path)
    assert path.read_bytes() == content
    assert (path.stat().st_mode, path.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


@anyio_test
async def test_a_database_without_anything_in_it_is_taken_and_marked_as_ours(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "hitl.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
    await SqliteStore(tmp_path / "hitl.db").close()
    with closing(sqlite3.connect(tmp_path / "hitl.db")) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (connection.APPLICATION_ID,)


@anyio_test
async def test_a_database_that_another_process_makes_ours_while_we_look_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hitl.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    look = connection.version_of

    def another_process_is_first(db: sqlite3.Connection) -> int:
        monkeypatch.setattr(connection, "version_of", look)
        connection.prepare(path)
        return look(db)

    monkeypatch.setattr(connection, "version_of", another_process_is_first)
    await SqliteStore(path).close()
    assert connection.version_of is look


def test_a_path_that_sqlite_cannot_open_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"cannot be opened"):
        connection.connect(tmp_path / "nowhere" / "hitl.db")


def _set_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")


@anyio_test
async def test_a_newer_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "hitl.db"
    await SqliteStore(path).close()
    _set_version(path, len(MIGRATIONS) + 1)
    with pytest.raises(Unavailable, match=r"belongs to a newer version of mcp-hitl\. Update this program"):
        SqliteStore(path)


@anyio_test
async def test_a_file_that_became_newer_while_it_was_open_is_neither_written_nor_read(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hitl.db")
    _set_version(store.path, 99)
    with pytest.raises(Unavailable, match=r"newer version"):
        await store.write(lambda tx: tx.approvals.insert(an_approval()))
    with pytest.raises(Unavailable, match=r"newer version"):
        await store.read(lambda view: view.log.last_seq())
    _set_version(store.path, len(MIGRATIONS))
    assert await store.read(lambda view: view.approvals.get(an_approval().id)) is None
    await store.close()


@anyio_test
async def test_an_older_file_is_brought_up_to_date_and_keeps_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = SqliteStore(tmp_path / "hitl.db")
    await old.write(lambda tx: tx.approvals.insert(an_approval()))
    await old.close()

    def add_a_table(db: Database) -> None:
        db.conn.execute("CREATE TABLE later (x)")

    monkeypatch.setattr(connection, "MIGRATIONS", (*MIGRATIONS, add_a_table))
    new = SqliteStore(tmp_path / "hitl.db")
    assert await new.read(lambda view: view.approvals.get(an_approval().id)) == an_approval()
    await new.close()
    with closing(sqlite3.connect(tmp_path / "hitl.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert db.execute("SELECT count(*) FROM later").fetchone() == (0,)


@anyio_test
async def test_a_session_of_an_older_file_is_local_and_was_authenticated_when_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(connection, "MIGRATIONS", MIGRATIONS[:1])
        await SqliteStore(tmp_path / "hitl.db").close()
    with closing(sqlite3.connect(tmp_path / "hitl.db")) as db:
        db.execute("INSERT INTO sessions VALUES ('d', 't', 'os:ana', 'sign-in-link', 1000, 9000)")
        db.commit()
    store = SqliteStore(tmp_path / "hitl.db")
    assert await store.read(lambda view: view.sessions.get("d")) == Session(
        digest="d",
        token_digest="t",
        who=Principal("os:ana", Established.SIGN_IN_LINK),
        assurance=Assurance.LOCAL,
        authenticated_at=from_ms(1000),
        since=from_ms(1000),
        until=from_ms(9000),
    )
    await store.close()


@anyio_test
async def test_what_an_older_file_has_open_counts_after_the_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(connection, "MIGRATIONS", MIGRATIONS[:1])
        await SqliteStore(tmp_path / "hitl.db").close()
    ended = {"status": Status.EXPIRED, "resolved_at": START}
    held = [an_approval(id=f"apr_{n}", payload={"text": "ü" * n}, **(ended if n > 2 else {})) for n in range(5)]
    columns = [name for name in rows.APPROVAL.split(", ") if name not in {"definition", "code"}]
    with closing(sqlite3.connect(tmp_path / "hitl.db")) as db:
        for one in held:
            values = rows.approval_row(one)[: len(columns)]
            places = ", ".join("?" * len(columns))
            db.execute(f"INSERT INTO approvals ({', '.join(columns)}) VALUES ({places})", values)
        db.commit()
    store = SqliteStore(tmp_path / "hitl.db")
    size = sum(len(canonical(one.payload, what="payload")) for one in held[:3])
    assert await store.read(lambda view: view.requesters.open(["os:agent"], "expense", START)) == (3, size)
    assert await store.write(lambda tx: tx.approvals.resolve("apr_2", Status.CANCELLED, START))
    assert (await store.read(lambda view: view.requesters.open(["os:agent"], "expense", START)))[0] == 2
    await store.close()


@pytest.mark.parametrize("given_up", [False, True], ids=["open still", "rolled back by SQLite"])
def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_up: bool
) -> None:
    def fail(db: Database) -> None:
        if given_up:
            db.conn.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(connection, "MIGRATIONS", (*MIGRATIONS, fail))
    with pytest.raises(Unavailable, match=r"cannot be used: disk I/O error"):
        SqliteStore(tmp_path / "hitl.db")
    with closing(sqlite3.connect(tmp_path / "hitl.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


@pytest.mark.parametrize("hold", ["BEGIN EXCLUSIVE", "BEGIN; SELECT * FROM t"])
def test_a_file_that_stays_locked_while_it_is_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: str
) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(tmp_path / "hitl.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute(f"PRAGMA application_id = {connection.APPLICATION_ID}")
        for statement in hold.split(";"):
            db.execute(statement)
        with pytest.raises(Unavailable, match=r"cannot be (opened|used): database is locked"):
            SqliteStore(tmp_path / "hitl.db")
        db.execute("ROLLBACK")


@dataclass(frozen=True)
class Opened:
    """What processes found that opened one fresh file at the same moment."""

    path: Path
    results: list[str | bytes]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Open a fresh file in several processes held at a barrier."""
    path = tmp_path_factory.mktemp("many") / "fresh" / "hitl.db"
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    processes = [
        context.Process(target=open_at_once, args=(path, number, barrier, results)) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    found: list[str | bytes] = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    return Opened(path, found)


@anyio_test
async def test_many_processes_can_open_and_write_a_fresh_file_at_once(opened: Opened) -> None:
    assert [result for result in opened.results if isinstance(result, str)] == []
    store = SqliteStore(opened.path)
    count = await store.read(lambda view: view.lists.count_pending(an_approval().requested_at, kind=None, most=100))
    await store.close()
    assert count == PROCESSES


def test_processes_that_ask_at_once_share_one_key(opened: Opened) -> None:
    assert len(opened.results) == PROCESSES
    assert len(set(opened.results)) == 1
    assert opened.results[0] == files.shared_key(opened.path)
    assert [path.name for path in opened.path.parent.iterdir() if ".key" in path.name] == ["hitl.db.key"]


def test_threads_that_ask_at_once_share_one_key_that_is_their_owners_alone(tmp_path: Path) -> None:
    for round_ in range(20):
        database = tmp_path / f"{round_}.db"
        barrier, keys = threading.Barrier(8), list[bytes]()

        def ask(database: Path = database, barrier: threading.Barrier = barrier, keys: list[bytes] = keys) -> None:
            barrier.wait(20)
            keys.append(files.shared_key(database))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(keys) == 8 and len(set(keys)) == 1 and len(keys[0]) == 32
        assert os.name != "posix" or mode_of(tmp_path / f"{round_}.db.key") == 0o600
        assert [path.name for path in tmp_path.glob(f"{round_}.db*")] == [f"{round_}.db.key"]


def test_every_database_has_a_key_of_its_own(tmp_path: Path) -> None:
    assert files.shared_key(tmp_path / "a.db") != files.shared_key(tmp_path / "b.db")


@anyio_test
async def test_a_store_hands_out_the_key_beside_its_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hitl.db")
    assert store.shared_key() == (tmp_path / "hitl.db.key").read_bytes()
    await store.close()


def test_a_key_that_was_cut_short_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "hitl.db.key").write_bytes(b"short")
    with pytest.raises(OSError, match=r"hitl\.db\.key does not have a key of 32 bytes; remove it"):
        files.shared_key(tmp_path / "hitl.db")


def test_files_that_cannot_be_scrubbed_now_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "hitl.db").write_bytes(b"No database at all. " * 100)
    assert connection.scrub(tmp_path / "hitl.db") is False


@anyio_test
async def test_a_full_disk_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(seconds: float) -> None:
        raise TimeoutError("it waits for a disk on which nothing becomes free")

    monkeypatch.setattr(connection.time, "sleep", wait)
    with full_disk(tmp_path / "full") as folder:
        with pytest.raises(Unavailable, match=r"disk is full\. Make room on its disk, then try again\.$"):
            SqliteStore(folder / "hitl.db")


@contextmanager
def full_disk(folder: Path) -> Generator[Path]:
    """A disk on which nothing more can be written."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=False).returncode:
        pytest.skip("a file system of its own takes rights that are missing here")
    try:
        with (folder / "filling").open("wb", buffering=0) as filling, pytest.raises(OSError, match="No space"):
            while True:
                filling.write(b"x" * 4096)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
