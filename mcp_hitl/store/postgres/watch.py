"""The thread that hears of others' commits, and ends connections on which the server does not answer."""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

import psycopg

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.batches import BUSY_SECONDS
from mcp_hitl.store.postgres.connection import CHANNEL, SCHEMA, connect
from mcp_hitl.store.postgres.errors import in_a_line

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often we look for new entries of the log where nothing is told: behind a pooler in transaction mode."""
_LOOK_SECONDS = 5.0
_AGAIN_SECONDS = 0.5
_HEARD_SECONDS = 2.0


class Watched(Protocol):
    """A connection that may wait for the server for ever."""

    @property
    def since(self) -> float | None:
        """When what the server does now was begun, by `time.monotonic()`; None if it does nothing."""
        ...

    def cut(self) -> None:
        """End the connection from another thread."""
        ...


class Watch(threading.Thread):
    """Listens to `NOTIFY`; where that does not arrive, looks once a second."""

    def __init__(self, address: str, *, heard: Callable[[], None], sessions: Collection[Watched]) -> None:
        """Call `heard`, from this thread, whenever somebody may have committed."""
        super().__init__(name="mcp-hitl watch", daemon=True)
        self._address = address
        self._heard = heard
        self._sessions = sessions
        self._ended = False
        self._db: psycopg.Connection[Any] | None = None
        self._told = False
        self._ready = threading.Event()
        self.start()
        self._ready.wait(BUSY_SECONDS)

    def run(self) -> None:
        """Listen until `end`."""
        while not self._ended:
            try:
                with connect(self._address) as self._db:
                    told = self._is_told(self._db)
                    if self._ready.is_set():
                        self._heard()  # something may have happened while nobody listened
                    self._ready.set()
                    self._listen(self._db) if told else self._poll(self._db)
            except (psycopg.Error, Unavailable, OSError) as error:
                if not self._ended:
                    self._ready.set()
                    self._tell("others' changes are not heard: %s", in_a_line(error))
                    self._cut_silent()
                    time.sleep(_AGAIN_SECONDS)
            else:
                self._told = False

    def end(self) -> None:
        """End the thread."""
        self._ended = True
        db = self._db
        if db is not None and not db.closed:
            try:
                with socket.socket(fileno=os.dup(db.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)
            except (OSError, psycopg.Error):
                pass  # it has ended by itself
        self.join()

    def _is_told(self, db: psycopg.Connection[Any]) -> bool:
        """Listen, and try whether a notice of another connection arrives. A pooler in transaction mode loses it."""
        trial = f"{CHANNEL}_{secrets.token_hex(8)}"
        db.execute(f"LISTEN {CHANNEL}".encode())
        db.execute(f"LISTEN {trial}".encode())
        with connect(self._address) as other:
            other.execute(f"NOTIFY {trial}".encode())
        for notice in db.notifies(timeout=_HEARD_SECONDS):
            if notice.channel == trial:
                return True
        logger.warning("this server does not pass NOTIFY on; new entries are looked for every %g s", POLL_SECONDS)
        return False

    def _listen(self, db: psycopg.Connection[Any]) -> None:
        while not self._ended:
            if any(True for _ in db.notifies(timeout=_LOOK_SECONDS, stop_after=1)):
                self._told = False
                self._heard()
            self._cut_silent()

    def _poll(self, db: psycopg.Connection[Any]) -> None:
        seen = None
        while not self._ended:
            newest = db.execute(f"SELECT max(seq) FROM {SCHEMA}.audit").fetchone()
            if newest != seen:
                seen = newest
                self._heard()
            self._cut_silent()
            time.sleep(POLL_SECONDS)

    def _cut_silent(self) -> None:
        now = time.monotonic()
        for session in self._sessions:
            if (since := session.since) is not None and now - since > BUSY_SECONDS - _LOOK_SECONDS:
                self._tell("the server has not answered for %g s; the connection is ended", now - since)
                session.cut()

    def _tell(self, text: str, value: object) -> None:
        if not self._told:
            self._told = True
            logger.warning(text, value)
