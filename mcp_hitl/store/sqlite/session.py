"""One connection to the file for batches: it begins, commits, and keeps the newest head beside the file."""

import sqlite3
import time
from collections.abc import Callable

from mcp_hitl.store.sql.transaction import SqlTransaction
from mcp_hitl.store.sqlite import errors
from mcp_hitl.store.sqlite.commit import commit, settle, undo
from mcp_hitl.store.sqlite.connection import check_version, connect
from mcp_hitl.store.sqlite.footing import COUNT, Footing
from mcp_hitl.store.sqlite.kept_head import Head, KeptHead
from mcp_hitl.store.sqlite.place import Place

_SLICE_MS = 100
"""It waits for another process's lock in short intervals, and looks in between whether it should hurry."""


class SqliteSession:
    """A `Session` on the file."""

    def __init__(self, place: Place, *, writes: bool, committed: Callable[[], None] | None = None) -> None:
        """Open the connection. `committed` is called after each commit.

        Raises:
            Unavailable: the file cannot be opened.
        """
        self._db = connect(place.path)
        self._place = place
        self._kept = KeptHead(place.path)
        self._kept_before: Head | None = None
        self._footing = Footing(place.path, self._db)
        self._changes_before = self._part_changes = 0
        self._savepoint = False
        self._is_mixed = False
        self._db.execute(f"PRAGMA busy_timeout = {_SLICE_MS}")
        if not writes:
            self._db.execute("PRAGMA query_only = ON")
        self._writes = writes
        self._begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
        self._committed = committed
        self._tx = SqlTransaction(self._db)

    @property
    def tx(self) -> SqlTransaction:
        """See `Session.tx`."""
        return self._tx

    @property
    def open(self) -> bool:
        """See `Session.open`."""
        return self._db.in_transaction

    def start(self, until: Callable[[], float]) -> None:
        """See `Session.start`."""
        while True:
            # First: what is kept after the snapshot was taken need not be in it.
            self._tx.log.kept = self._kept_before = self._kept.read()
            try:
                self._db.execute(self._begin)
                check_version(self._db)
                break
            except sqlite3.OperationalError as error:
                self.undo()
                if not errors.is_busy(error) or time.monotonic() >= until():
                    raise
        self._tx.begin()
        self._changes_before = self._db.total_changes
        self._tx.log.is_mixed = self._is_mixed = self._footing.is_older()
        if self._writes:
            self._place.check()

    def end(self, *, failed: bool) -> None:
        """See `Session.end`. What is answered now is true of the file at the path."""
        if failed or not self._writes:
            self._db.execute("ROLLBACK" if failed else "COMMIT")
            self._place.check()
            return
        self._tx.finish()
        head, told = self._tx.head_to_keep(), self._is_mixed and self._tx.log.lost() is None
        changed = self._db.total_changes != self._changes_before
        if changed:
            self._db.execute(COUNT)
        commit(self._db)
        if head is not None:
            self._kept.keep(head, after=self._kept_before)
        if self._committed is not None:
            self._committed()
        self._place.check_committed()
        if changed:
            self._footing.check_committed()
        if told:
            settle(self._db)

    def undo(self) -> None:
        """See `Session.undo`."""
        undo(self._db)

    def mark(self, *, savepoint: bool) -> None:
        """See `Session.mark`."""
        self._tx.mark()
        self._savepoint = savepoint
        self._part_changes = self._db.total_changes
        if savepoint:
            self._db.execute("SAVEPOINT job")

    def end_part(self, *, failed: bool) -> bool:
        """See `Session.end_part`."""
        if failed and not self._savepoint and (self._tx.disturbed or self._db.total_changes != self._part_changes):
            return False
        if failed:
            self._tx.undo()
        if failed and self._savepoint:
            self._db.execute("ROLLBACK TO job")
        if self._savepoint:
            self._db.execute("RELEASE job")
        return True

    def told(self, error: BaseException, *, own: bool) -> Exception:
        """See `Session.told`."""
        return errors.told(error, own=own)

    def given_up(self, error: BaseException | None) -> Exception:
        """See `Session.given_up`."""
        return errors.unavailable(error)

    def close(self) -> None:
        """See `Session.close`."""
        self._kept.close()
        self._db.close()
        self._footing.close()
