"""A PostgreSQL server of the benchmarks' own: Debian's, not as root, in a folder that is kept for the next run."""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg

_SETTINGS = "-c listen_addresses= -c shared_buffers=256MB -c max_wal_size=8GB -c checkpoint_timeout=30min"


def is_installed() -> bool:
    """Return True if there is a server to start."""
    return _programs() is not None


@contextmanager
def server(folder: Path) -> Generator[str]:
    """Start the server in `folder`, made at need; return the beginning of its databases' addresses."""
    data = folder / "data"
    if not data.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
        _run(folder, "initdb", "-D", data, "-U", "hitl", "-A", "trust", "--no-sync", "-E", "UTF8")
    _run(folder, "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", f"-k {folder} {_SETTINGS}", "start")
    try:
        yield f"postgresql://hitl@/{{}}?host={folder}"
    finally:
        _run(folder, "pg_ctl", "-D", data, "-w", "-m", "fast", "stop")


def has(address: str, name: str) -> bool:
    """Return True if there is a database with this name."""
    with psycopg.connect(address.format("postgres")) as db:
        return db.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def create(address: str, name: str) -> None:
    """Create a database in place of what a run has left that was ended."""
    with psycopg.connect(address.format("postgres"), autocommit=True) as db:
        db.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        db.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())


def rename(address: str, name: str, new: str) -> None:
    """Give a database another name."""
    with psycopg.connect(address.format("postgres"), autocommit=True) as db:
        db.execute(f"ALTER DATABASE {name} RENAME TO {new}".encode())


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _run(folder: Path, program: str, *arguments: object) -> None:
    programs = _programs()
    if programs is None:
        raise FileNotFoundError("needs PostgreSQL: install the package “postgresql”")
    subprocess.run(
        [programs / program, *map(str, arguments)],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        user="nobody" if os.getuid() == 0 else None,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )
