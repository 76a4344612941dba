"""What is in a database, read past the program, which may be using it."""

import sqlite3
from contextlib import closing
from typing import Any

import psycopg

from mcp_hitl.config.location import Location


def rows(database: Location, query: str, *values: str) -> list[tuple[Any, ...]]:
    """The rows of a query with `?` for values."""
    if database.file is not None:
        with closing(sqlite3.connect(database.file, timeout=30)) as db:
            return db.execute(query, values).fetchall()
    with psycopg.connect(database.written, autocommit=True, options="-c search_path=mcp_hitl") as db:
        return db.execute(query.replace("?", "%s").encode(), values).fetchall()
