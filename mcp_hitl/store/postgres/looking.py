"""Looks at a database without changing anything: it creates and migrates no schema."""

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.batches import BUSY_SECONDS
from mcp_hitl.store.postgres.connection import cannot_connect, connect, without_password
from mcp_hitl.store.postgres.locks import Locks
from mcp_hitl.store.postgres.migrating import version_of
from mcp_hitl.store.postgres.schema import MIGRATIONS
from mcp_hitl.store.postgres.session import Known, PostgresSession
from mcp_hitl.store.view import View

T = TypeVar("T")


def look(url: str, work: Callable[[View], T]) -> T | None:
    """Return the result of `work` on one snapshot; None if there is nothing of ours yet.

    Raises:
        Unavailable: the server cannot be reached, or the schema is older or newer than this program.
    """
    address = url
    try:
        with connect(address) as db:
            version = version_of(db)
        if version == 0:
            return None
        if version < len(MIGRATIONS):
            raise Unavailable(
                f"The database {without_password(url)} is older than this program; its next use brings it up to date."
            )
        session = PostgresSession(Known(address), writes=False)
        try:
            session.start(lambda: time.monotonic() + BUSY_SECONDS)
            return work(session.tx)
        finally:
            session.close()
    except psycopg.Error as error:
        raise cannot_connect(url, error) from error


def is_held(url: str, name: str) -> bool:
    """Return True if a process holds the lock `name`.

    Raises:
        Unavailable: the server cannot be reached.
    """
    locks = Locks(url)
    try:
        return locks.is_held(name)
    finally:
        locks.close()
