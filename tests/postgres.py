"""A PostgreSQL server of the tests' own: Debian's, in a temporary folder, not as root, ended with the tests."""

import atexit
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mcp_hitl.store.postgres.migrating import prepare

_NEW_ID = "UPDATE mcp_hitl.facts SET value = %s WHERE name = 'database'"
_FAST = ("-c", "fsync=off", "-c", "max_connections=400", "-c", "shared_buffers=64MB")


def tools() -> Path | None:
    """Return the folder with the server's programs, of the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Server:
    """A server in a folder of its own, reached by a socket there."""

    def __init__(self, *settings: str) -> None:
        """Make a new cluster, with `settings` for the server, and start it."""
        programs = tools()
        if programs is None:
            pytest.skip("needs PostgreSQL: install the package “postgresql”")
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="hitl-pg-"))
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            shutil.chown(self.folder, "nobody")
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "hitl", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()
        atexit.register(self.remove)

    def url(self, database: str, user: str = "hitl") -> str:
        """Return the address of a database."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        self._run(
            "pg_ctl",
            "-D",
            str(self.folder / "data"),
            "-w",
            "-l",
            str(self.folder / "log"),
            "-o",
            " ".join(("-k", str(self.folder), "-c", "listen_addresses=", *self._settings)),
            "start",
        )

    def stop(self, how: str) -> None:
        """Stop the server: `smart`, `fast` or `immediate`."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", how, "stop")

    def runs(self) -> bool:
        """Return True unless it was stopped."""
        return (self.folder / "data" / "postmaster.pid").exists()

    def processes(self) -> list[int]:
        """Return the numbers of the server's processes."""
        first = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        return [first, *(int(one) for one in Path(f"/proc/{first}/task/{first}/children").read_text().split())]

    def remove(self) -> None:
        """End the server, and remove its folder."""
        if self.runs():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, name: str, template: str | None = None) -> str:
        """Create a database, and return its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'} STRATEGY wal_log".encode())
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user="nobody" if os.getuid() == 0 else None,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )


@cache
def server() -> Server:
    """Return the server of this process's tests, started when the first of them needs it."""
    return Server(*_FAST)


def mortal() -> Server:
    """Return the server that tests may stop, running."""
    one = _mortal()
    if not one.runs():
        one.start()
    return one


@cache
def _mortal() -> Server:
    return Server(*_FAST)


@cache
def database_of(folder: Path) -> str:
    """Return the address of the database that belongs to a test's folder, with our schema in it.

    Copied from a template: that is several times faster than taking the steps of the schema.
    """
    url = server().create(f"t_{secrets.token_hex(8)}", _template())
    with psycopg.connect(url) as db:
        db.execute(_NEW_ID, (secrets.token_hex(16),))
    return url


@contextmanager
def lent() -> Generator[str]:
    """The address of a database with our schema in it, as if it were new.

    It is emptied for the next test, which is ten times as fast as a copy, unless somebody is still connected to it.
    No test may change what the schema has: its triggers, its checks.
    """
    one = _emptied.pop() if _emptied else _Lent(server().create(f"t_{secrets.token_hex(8)}", _template()))
    yield one.url
    if one.empty():
        _emptied.append(one)


class _Lent:
    """A database that keeps beside our tables what is in them at first."""

    def __init__(self, url: str) -> None:
        """Keep it; the database is new."""
        self.url = url
        with psycopg.connect(url, autocommit=True) as db:
            db.execute("CREATE SCHEMA kept")
            self._tables = _tables(db)
            self._filled = [one for one in self._tables if db.execute(f"TABLE mcp_hitl.{one}".encode()).fetchone()]
            for table in self._filled:
                db.execute(f"CREATE TABLE kept.{table} AS TABLE mcp_hitl.{table}".encode())
            db.execute(_NEW_ID, (secrets.token_hex(16),))

    def empty(self) -> bool:
        """Put it back, behind the back of the triggers; return False if somebody is connected."""
        with psycopg.connect(self.url, autocommit=True) as db:
            if db.execute(_OTHERS).fetchone():
                return False
            away = [f"DROP TABLE mcp_hitl.{table}" for table in _tables(db) if table not in self._tables]
            emptied = [f"DELETE FROM mcp_hitl.{table}" for table in self._tables]
            filled = [f"INSERT INTO mcp_hitl.{table} TABLE kept.{table}" for table in self._filled]
            db.execute("; ".join(["SET session_replication_role = replica", *away, *emptied, *filled]).encode())
            db.execute(_NEW_ID, (secrets.token_hex(16),))
        return True


_emptied: list[_Lent] = []
_OTHERS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def _tables(db: psycopg.Connection[Any]) -> list[str]:
    return [name for [name] in db.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = 'mcp_hitl'")]


def empty_database() -> str:
    """Return the address of a database with nothing in it."""
    return server().create(f"t_{secrets.token_hex(8)}")


@cache
def _template() -> str:
    prepare(server().create("ours"))
    return "ours"


def copy_of(url: str) -> str:
    """Return the address of a copy of a database that nobody is connected to."""
    return server().create(f"t_{secrets.token_hex(8)}", url.split("/")[3].split("?")[0])


def run(url: str, *statements: str) -> None:
    """Run statements as the role that owns everything."""
    with psycopg.connect(url, autocommit=True) as db:
        for statement in statements:
            db.execute(statement.encode())
