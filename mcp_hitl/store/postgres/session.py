"""One connection for batches: it begins, commits, finds out what became of a commit, and connects again."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from mcp_hitl.config.location import Location
from mcp_hitl.domain.values.errors import Unavailable, Uncertain
from mcp_hitl.store.moved import Moved, refuse_moved
from mcp_hitl.store.postgres import errors
from mcp_hitl.store.postgres.connection import CHANNEL, LOCK, SCHEMA, cannot_connect, connect
from mcp_hitl.store.postgres.database import PostgresDatabase
from mcp_hitl.store.postgres.schema import MIGRATIONS
from mcp_hitl.store.sql.log import NEWEST
from mcp_hitl.store.sql.transaction import SqlTransaction

Head = tuple[int, str]

_LOCK_MS = 1_000
"""A write waits for others in intervals, and looks in between whether it should hurry."""
_PAUSE_SECONDS = 0.1
_LOOK_SECONDS = 30.0
"""How long it tries to find out what became of a commit."""
_HERE = f"SET LOCAL search_path = {SCHEMA}, pg_temp"  # in each transaction: a pooler may give it another connection
_STATE = (
    "SELECT (SELECT max(step) FROM migrations), (SELECT json_object_agg(name, value) FROM facts), "
    f"(SELECT json_build_array(seq, hash, at) FROM ({NEWEST}) AS newest), (SELECT json_agg(kind) FROM pauses)"
)
"""What nearly every transaction asks for, with its beginning in one message."""
ELSEWHERE: "Head" = (0, "")
"""A head that is in no chain: nobody knows what was lost on the way to this server."""
_BEGIN_READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_HERE}; {_STATE}"
_BEGIN_WRITE = (
    f"BEGIN; {_HERE}; SET LOCAL lock_timeout = {_LOCK_MS}; SELECT pg_advisory_xact_lock({LOCK}); "
    f"SET LOCAL lock_timeout = 0; {_STATE}, pg_current_xact_id()::text"
)
TELL_AND_COMMIT = f"NOTIFY {CHANNEL}; COMMIT"


@dataclass(slots=True)
class Known:
    """What the connections of one store know together about the database."""

    address: str
    database: str | None = None
    """Its id, from the first transaction on."""
    head: Head | None = None
    """The newest head of the chain that this process has seen."""


class PostgresSession:
    """A `Session` on PostgreSQL."""

    def __init__(self, known: Known, *, writes: bool, committed: Callable[[], None] | None = None) -> None:
        """Connect. `committed` is called after each commit that changed something.

        Raises:
            Unavailable: the server cannot be reached.
        """
        self._known = known
        self._writes = writes
        self._committed = committed
        self._transaction_id = ""
        self._marked = False
        """True if there is a savepoint."""
        self._changed_before = False
        """True if an earlier part of the transaction has changed something."""
        try:
            self._connect()
        except psycopg.Error as error:
            raise cannot_connect(known.address, error) from error

    @property
    def since(self) -> float | None:
        """When what the server does now was begun, by `time.monotonic()`; None if it does nothing."""
        return self._sql.since

    def cut(self) -> None:
        """End the connection from another thread, because the server does not answer."""
        self._sql.cut()

    def stop(self) -> None:
        """Let the server stop what it does for us, from another thread, and end the connection."""
        self._db.cancel_safe(timeout=1.0)
        self.cut()

    @property
    def open(self) -> bool:
        """See `Session.open`."""
        return self._db.info.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}

    def start(self, until: Callable[[], float]) -> None:
        """See `Session.start`."""
        while True:
            try:
                if self._db.closed:
                    self._connect()
                self._begin()
                return
            except psycopg.Error as error:
                self.undo()
                waits = errors.is_busy(error) or errors.may_return(error)
                if not waits or time.monotonic() + _PAUSE_SECONDS >= until():
                    raise
                if not errors.is_busy(error):
                    time.sleep(_PAUSE_SECONDS)

    def end(self, *, failed: bool) -> None:
        """See `Session.end`."""
        if failed or not self._writes:
            self._sql.run("ROLLBACK" if failed else "COMMIT")
            return
        if self._db.info.transaction_status is TransactionStatus.INERROR:
            raise errors.unavailable(None)
        self._tx.finish()
        changed = self._sql.changed or self._changed_before
        head = self._tx.head_to_keep() if changed else None
        try:
            self._sql.run(TELL_AND_COMMIT if changed else "COMMIT")
        except psycopg.Error as error:
            if self._db.closed:
                self._find_out(error)
            else:
                raise
        if head is not None:
            self._known.head = head
        if changed and self._committed is not None:
            self._committed()

    def undo(self) -> None:
        """See `Session.undo`."""
        with suppress(psycopg.Error):
            if self.open:
                self._sql.run("ROLLBACK")
        if self._db.info.transaction_status is not TransactionStatus.IDLE:
            self._db.close()  # in the middle of something: the next one gets a connection of its own

    def mark(self, *, savepoint: bool) -> None:
        """See `Session.mark`."""
        self._tx.mark()
        self._changed_before, self._sql.changed = self._changed_before or self._sql.changed, False
        if savepoint:
            self._sql.run("RELEASE job; SAVEPOINT job" if self._marked else "SAVEPOINT job")
            self._marked = True

    def end_part(self, *, failed: bool) -> bool:
        """See `Session.end_part`. What went well is released with the next part, or by the commit."""
        broken = self._db.info.transaction_status is TransactionStatus.INERROR
        if failed and not self._marked and (broken or self._sql.changed):
            return False
        if failed:
            self._tx.undo()
        if failed and self._marked:
            self._sql.run("ROLLBACK TO job")
        return True

    def told(self, error: BaseException, *, own: bool) -> Exception:
        """See `Session.told`."""
        return errors.told(error, own=own)

    def given_up(self, error: BaseException | None) -> Exception:
        """See `Session.given_up`."""
        return errors.unavailable(error)

    @property
    def tx(self) -> SqlTransaction:
        """See `Session.tx`."""
        return self._tx

    def close(self) -> None:
        """See `Session.close`."""
        self._db.close()

    def _connect(self) -> None:
        self._db = connect(self._known.address)
        self._sql = PostgresDatabase(self._db)
        self._tx = SqlTransaction(self._sql)

    def _begin(self) -> None:
        head = self._known.head
        row = self._sql.run(_BEGIN_WRITE if self._writes else _BEGIN_READ)
        step, facts, newest, stopped = row[:4]
        database, server = facts["database"], facts["server"]
        self._transaction_id = row[4] if self._writes else ""
        self._tx.begin()
        self._tx.facts.remember_all(facts)
        self._tx.log.remember_head(newest)
        self._tx.stops.remember_stopped(stopped or ())
        self._tx.log.kept = head if server in ("", self._sql.server) else ELSEWHERE
        self._sql.changed = self._changed_before = self._marked = False
        if step > len(MIGRATIONS):
            raise Unavailable(
                "The database belongs to a newer version of mcp-hitl. Update this program and start it again."
            )
        refuse_moved(Moved.read(facts.get("moved", "")), str(Location(self._known.address)))
        if self._known.database not in (None, database):
            raise Unavailable(
                "Another database is now in the place of the one that was open. End every process that uses it, and "
                "start them again. Nothing was changed."
            )
        self._known.database = database
        if self._writes and not server:
            self._sql.accept_place()

    def _find_out(self, error: psycopg.Error) -> None:
        """Find out what became of a commit whose answer was lost.

        Raises:
            Unavailable: it was not carried out.
            Uncertain: nobody can say.
        """
        appended = self._tx.log.appended
        until = time.monotonic() + _LOOK_SECONDS
        while time.monotonic() < until:
            try:
                with connect(self._known.address) as db:
                    found = _became(db, self._transaction_id, appended)
            except psycopg.Error:
                found = None
            if found is True:
                return
            if found is False:
                raise errors.unavailable(error) from error
            time.sleep(_PAUSE_SECONDS)
        raise Uncertain(
            f"The connection to the database was lost at the last moment ({errors.in_a_line(error)}). It is not known "
            "whether this was changed: look before you repeat it."
        ) from error


def _became(db: psycopg.Connection[Any], transaction_id: str, appended: Head | None) -> bool | None:
    """Return True if a transaction was committed, False if it was not, None if that is not known yet.

    An entry of the log that it wrote says more than its number, which another server may have given anew.
    """
    if appended is not None:
        row = db.execute(f"SELECT hash FROM {SCHEMA}.audit WHERE seq = %s", (appended[0],)).fetchone()
        if row is not None:
            return row[0] == appended[1]
    row = db.execute("SELECT pg_xact_status(%s::xid8)", (transaction_id,)).fetchone()
    return {"committed": True, "aborted": False}.get(row[0]) if row else None
