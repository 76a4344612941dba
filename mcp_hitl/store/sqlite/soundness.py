"""Whether a file is sound: it agrees with itself, and its schema is exactly the one of this program."""

import sqlite3
from contextlib import closing
from typing import Any

from mcp_hitl.store.sql.counts import fault_in_counts
from mcp_hitl.store.sql.database import Database
from mcp_hitl.store.sqlite.schema import MIGRATIONS

_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name"


def fault_in(db: Database) -> str | None:
    """Return the first fault; None if there is none. This reads the whole file."""
    found: Any = db.execute("PRAGMA integrity_check(1)").fetchone()
    if found[0] != "ok":
        return f"the file is damaged: {found[0]}"
    if (row := db.execute("PRAGMA foreign_key_check").fetchone()) is not None:
        return f"a row of “{row[0]}” belongs to a row of “{row[2]}” that is not there"
    return _fault_in_schema(db) or fault_in_counts(db)


def _fault_in_schema(db: Database) -> str | None:
    """Compare the schema. A flow may have tables of its own, with indexes; a trigger could change anything anywhere."""
    ours, held = _ours(), {row[1]: row for row in db.execute(_SCHEMA)}
    for name, row in ours.items():
        if held.get(name) != row:
            return f"the schema lacks the {row[0]} “{name}” as this program made it"
    tables = {row[2] for row in ours.values()}
    for name, (sort, _, table, _) in held.items():
        if name not in ours and (sort in {"trigger", "view"} or table in tables):
            return f"the schema has the {sort} “{name}”, which this program did not make"
    return None


def _ours() -> dict[str, tuple[Any, ...]]:
    """Return the schema that this program makes, by name."""
    # Imported late, as in `connection`.
    from sqlite_utils import Database

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for step in MIGRATIONS:
            step(Database(db))
        return {row[1]: row for row in db.execute(_SCHEMA)}
