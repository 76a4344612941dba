"""The statements that the stores run, as they run them."""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from mcp_hitl.store.postgres.database import PostgresDatabase
from mcp_hitl.store.sqlite.database import SqliteDatabase

_WAYS: tuple[tuple[type[Any], str, Callable[..., Any]], ...] = (
    (SqliteDatabase, "execute", sqlite3.Connection.execute),
    (PostgresDatabase, "execute", PostgresDatabase.execute),
    (PostgresDatabase, "run", PostgresDatabase.run),
)


@contextmanager
def recorded() -> Generator[list[str]]:
    """What any store runs during the block, on either database, in order."""
    ran: list[str] = []

    def keeping(run: Callable[..., Any]) -> Callable[..., Any]:
        def kept(db: Any, sql: str, *values: Any) -> Any:
            ran.append(sql)
            return run(db, sql, *values)

        return kept

    with ExitStack() as patches:
        for owner, name, run in _WAYS:
            patches.enter_context(mock.patch.object(owner, name, keeping(run)))
        yield ran
