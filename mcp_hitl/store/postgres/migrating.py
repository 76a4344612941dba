"""Creates the schema, or brings it to this program's version."""

from typing import Any

import psycopg

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.postgres.connection import LOCK, SCHEMA, cannot_connect, connect
from mcp_hitl.store.postgres.errors import in_a_line
from mcp_hitl.store.postgres.schema import MIGRATIONS


def prepare(address: str) -> None:
    """Create the schema if it is missing, and bring it to this program's version, one process at a time.

    Raises:
        Unavailable: the server cannot be reached, the role has no right to do this, or the schema is newer.
    """
    try:
        with connect(address) as db:
            if version_of(db) < len(MIGRATIONS):
                _migrate(db)
    except psycopg.OperationalError as error:
        raise cannot_connect(address, error) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise Unavailable(
            f"The schema {SCHEMA} must be created or brought up to date, and this role may not ({in_a_line(error)}). "
            "Start this program once with the role that owns it; docs/deploy.md says how."
        ) from error


def version_of(db: psycopg.Connection[Any]) -> int:
    """Return the schema's version: the number of migrations that the database has had; 0 if there is none."""
    # Not `to_regclass`: after a wait for another process, that goes by what was known before.
    there = db.execute(
        "SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = %s AND relname = 'migrations'",
        (SCHEMA,),
    ).fetchone()
    if there is None:
        return 0
    row = db.execute(f"SELECT max(step) FROM {SCHEMA}.migrations").fetchone()
    return row[0] if row and row[0] else 0


def _migrate(db: psycopg.Connection[Any]) -> None:
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        take_steps(db)


def take_steps(db: psycopg.Connection[Any]) -> None:
    """Bring the schema to this program's version, in the transaction of the caller, who has the lock."""
    done = version_of(db)
    if done == 0:
        db.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        db.execute(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.migrations (step INTEGER PRIMARY KEY)")
    db.execute(f"SET LOCAL search_path = {SCHEMA}, pg_temp")
    for step, script in enumerate(MIGRATIONS[done:], done + 1):
        db.execute(script.encode())
        db.execute("INSERT INTO migrations VALUES (%s)", (step,))
