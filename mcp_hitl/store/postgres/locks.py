"""Locks that one process at a time can hold: each is an open transaction with an advisory lock of the server's.

The server releases them when the connection ends, however it ends. A transaction, since outside of one a pooler may
give each statement another connection.
"""

import hashlib
import threading
from itertools import count
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from mcp_hitl.store.postgres.connection import cannot_connect, connect

_BEGIN = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_try_advisory_xact_lock({key})"
_HELD = (
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = {high} "
    "AND objid = {low} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Locks:
    """The locks of one store, each on a connection of its own."""

    def __init__(self, address: str) -> None:
        """Hold nothing yet."""
        self._address = address
        self._held: dict[str, psycopg.Connection[Any]] = {}
        self._spare: psycopg.Connection[Any] | None = None
        self._door = threading.RLock()

    def hold(self, name: str) -> bool:
        """See `Store.hold`.

        Raises:
            Unavailable: the server cannot be reached.
        """
        with self._door:
            if name in self._held and _lives(self._held[name]):
                return True
            self.let_go(name)
            try:
                return self._take(name)
            except psycopg.Error as error:
                raise cannot_connect(self._address, error) from error

    def hold_one_of(self, name: str) -> str:
        """See `Store.hold_one_of`."""
        with self._door:
            return next(one for n in count(1) if (one := f"{name}-{n}") not in self._held and self.hold(one))

    def let_go(self, name: str) -> None:
        """See `Store.let_go`."""
        with self._door:
            db = self._held.pop(name, None)
            if db is not None:
                db.close()

    def is_held(self, name: str) -> bool:
        """See `Store.is_held`.

        Raises:
            Unavailable: the server cannot be reached.
        """
        key = _key(name)
        look = _HELD.format(high=key >> 32 & 0xFFFFFFFF, low=key & 0xFFFFFFFF).encode()
        with self._door:
            try:
                return self._spare_one().execute(look).fetchone() is not None
            except psycopg.Error as error:
                raise cannot_connect(self._address, error) from error

    def close(self) -> None:
        """Release all locks."""
        with self._door:
            for name in list(self._held):
                self.let_go(name)
            if self._spare is not None:
                self._spare.close()

    def _take(self, name: str) -> bool:
        db = self._spare_one()
        cursor = db.execute(_BEGIN.format(key=_key(name)).encode())
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        if row is None or not row[0]:
            db.execute("ROLLBACK")
            return False
        self._held[name], self._spare = db, None
        return True

    def _spare_one(self) -> psycopg.Connection[Any]:
        """Return a connection that holds nothing."""
        if self._spare is None or not _lives(self._spare):
            self._spare = None
            self._spare = connect(self._address)
        return self._spare


def _lives(db: psycopg.Connection[Any]) -> bool:
    """Ask the server, since a connection that it has ended looks alive until then."""
    try:
        was = db.info.transaction_status
        db.execute("SELECT 1")
        return db.info.transaction_status is was is not TransactionStatus.INERROR
    except psycopg.Error:
        db.close()
        return False


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"mcp_hitl {name}".encode()).digest()[:8], "big", signed=True)
