"""Reads a database without changing anything: it creates no file, removes no access right, migrates no schema."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeVar

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.batches import BUSY_SECONDS
from mcp_hitl.store.sql.transaction import SqlTransaction
from mcp_hitl.store.sqlite.connection import APPLICATION_ID, check_version, version_of
from mcp_hitl.store.sqlite.database import SqliteDatabase
from mcp_hitl.store.sqlite.footing import Footing
from mcp_hitl.store.sqlite.kept_head import kept_head
from mcp_hitl.store.sqlite.place import beside, refuse_second_name
from mcp_hitl.store.sqlite.schema import MIGRATIONS
from mcp_hitl.store.view import View

T = TypeVar("T")


def glance(path: Path, work: Callable[[View], T]) -> T:
    """Return the result of `work` on one snapshot of the file at `path`.

    Raises:
        Unavailable: it cannot be read, is not our database, or is older or newer than this program.
    """
    # Read-only, SQLite leaves a log that a crash has left as it is, but makes one where there is none, and cannot take
    # it away again.
    return _snapshot(path, "mode=ro" if beside(path, "-wal").exists() else "mode=rw", work)


def look(path: Path, work: Callable[[View], T]) -> T:
    """Do the same where nothing at all can be written, not even the index that SQLite makes of its log.

    Raises:
        Unavailable: as for `glance`; or somebody has written it meanwhile.
    """
    path = Path(os.path.realpath(path))
    whole = not _has_log(path)
    # SQLite then looks at nothing but the file (https://www.sqlite.org/uri.html#uriimmutable).
    result = _snapshot(path, "immutable=1" if whole else "mode=ro", work)
    if whole and _has_log(path):
        raise Unavailable(f"The database {path} was changed while it was read. Try again.")
    return result


def _has_log(path: Path) -> bool:
    """Return True if the file alone is not the whole database."""
    logs = (beside(path, suffix) for suffix in ("-wal", "-journal"))
    return any(log.exists() and log.stat().st_size for log in logs)


def _snapshot(path: Path, how: str, work: Callable[[View], T]) -> T:
    try:
        refuse_second_name(path)
        with ExitStack() as ends:
            there = f"{path.absolute().as_uri()}?{how}"
            db = sqlite3.connect(there, uri=True, timeout=BUSY_SECONDS, factory=SqliteDatabase)
            footing = Footing(path, db)
            ends.callback(footing.close)
            ends.enter_context(closing(db))
            db.isolation_level = None
            db.execute("PRAGMA query_only = ON")
            view = SqlTransaction(db)
            view.log.kept = kept_head(Path(os.path.realpath(path)))
            db.execute("BEGIN")
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise Unavailable(f"{path} is not a database of mcp-hitl.")
            check_version(db)
            if version_of(db) < len(MIGRATIONS):
                raise Unavailable(f"The database {path} is older than this program; its next use brings it up to date.")
            view.log.is_mixed = footing.is_older()
            return work(view)
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"The database {path} cannot be read: {error}.") from error
