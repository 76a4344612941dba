"""Connects to the server, and says which database that is."""

import hashlib
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.postgres.errors import in_a_line

SCHEMA = "mcp_hitl"
CHANNEL = "mcp_hitl"
"""The channel of `NOTIFY`."""
LOCK = int.from_bytes(hashlib.sha256(b"mcp_hitl").digest()[:8], "big", signed=True)
"""The advisory lock that each write takes first: one transaction at a time, so the log has one order."""
OLDEST = 140_000

_DEFAULTS: dict[str, Any] = {
    "application_name": "mcp-hitl",
    "connect_timeout": 5,
    # A server that is gone without a word is noticed within about 10 seconds.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def connect(address: str) -> psycopg.Connection[Any]:
    """Return a connection on which each statement is a transaction unless one was begun.

    Raises:
        psycopg.Error: there is none.
    """
    given = conninfo_to_dict(address)
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in given}
    db = psycopg.connect(address, autocommit=True, **defaults)
    if db.info.server_version < OLDEST:
        version = db.info.server_version // 10_000
        db.close()
        raise Unavailable(f"The server runs PostgreSQL {version}. It must be 14 or newer.")
    if _is_pooled(db):
        db.prepare_threshold = None  # what is prepared on one connection of the pooler's is not there on the next
    return db


def _is_pooled(db: psycopg.Connection[Any]) -> bool:
    """Return True if a pooler stands between us and the server: the process it named is not the one that answers."""
    row = db.execute("SELECT pg_backend_pid()").fetchone()
    return row is not None and row[0] != db.info.backend_pid


def without_password(url: str) -> str:
    """Return where a database is, for people."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        return "postgresql://…"
    where = given.get("host") or given.get("hostaddr") or "localhost"
    port = f":{given['port']}" if given.get("port") else ""
    user = f"{given['user']}@" if given.get("user") else ""
    return f"postgresql://{user}{where}{port}/{given.get('dbname') or ''}"


def cannot_connect(url: str, error: psycopg.Error) -> Unavailable:
    """Return the error for a server that cannot be reached."""
    return Unavailable(f"The database {without_password(url)} cannot be reached: {in_a_line(error)}.")
