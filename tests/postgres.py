"""A PostgreSQL server of the tests' own: Debian's, in a temporary folder, not as root, ended with the tests."""

import atexit
import os
import secrets
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import psycopg
import pytest

from mcp_hitl.store.postgres.migrating import prepare

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

    def processes(self) -> list[int]:
        """Return the numbers of the server's processes."""
        first = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        return [first, *(int(one) for one in Path(f"/proc/{first}/task/{first}/children").read_text().split())]

    def remove(self) -> None:
        """End the server, and remove its folder."""
        if (self.folder / "data" / "postmaster.pid").exists():
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


@cache
def database_of(folder: Path) -> str:
    """Return the address of the database that belongs to a test's folder, with our schema in it.

    Copied from a template: that is several times faster than taking the steps of the schema.
    """
    url = server().create(f"t_{secrets.token_hex(8)}", _template())
    with psycopg.connect(url) as db:
        db.execute("UPDATE mcp_hitl.facts SET value = %s WHERE name = 'database'", (secrets.token_hex(16),))
    return url


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
