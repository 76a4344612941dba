"""A mapping that takes no more memory the more there is in it."""

import sqlite3
from collections.abc import Iterator, MutableMapping
from types import TracebackType

from mcp_hitl.domain.values.errors import Unavailable

_PAGES = -8_000
"""Kibibytes of it that stay in memory."""


class Spilled(MutableMapping[str, str]):
    """Texts by text, in a temporary file that SQLite makes when there are many, and that nobody else can open.

    `with` ends it and removes the file. An operation raises `Unavailable` if there is no room for it.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._db = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            f"PRAGMA cache_size = {_PAGES}",
            "CREATE TABLE held (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
            "BEGIN",
        ):
            self._run(statement)

    def __enter__(self) -> "Spilled":
        """Use it in the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove it."""
        self._db.close()

    def __getitem__(self, name: str) -> str:
        """Return what is held under `name`."""
        row = self._run("SELECT value FROM held WHERE name = ?", name).fetchone()
        if row is None:
            raise KeyError(name)
        return row[0]

    def __setitem__(self, name: str, value: str) -> None:
        """Hold `value` under `name`."""
        self._run("INSERT OR REPLACE INTO held VALUES (?, ?)", name, value)

    def __delitem__(self, name: str) -> None:
        """Hold nothing under `name`."""
        if self._run("DELETE FROM held WHERE name = ?", name).rowcount == 0:
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Return the names, in order."""
        return (row[0] for row in self._run("SELECT name FROM held ORDER BY name"))

    def __len__(self) -> int:
        """Return the number of names."""
        return self._run("SELECT count(*) FROM held").fetchone()[0]

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        if not all(isinstance(value, str) for value in values):
            raise TypeError("only texts are held")
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise Unavailable(f"A temporary file cannot be written or read: {error}.") from error
