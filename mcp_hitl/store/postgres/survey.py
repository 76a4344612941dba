"""A survey of the database: a long read with its own connection and snapshot."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

import psycopg

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.batches import BUSY_SECONDS, closed
from mcp_hitl.store.postgres.errors import in_a_line
from mcp_hitl.store.postgres.session import Known, PostgresSession
from mcp_hitl.store.view import View

T = TypeVar("T")


class PostgresSurvey(Generic[T]):
    """A `Survey` of the database."""

    def __init__(self, known: Known, work: Callable[[View], T]) -> None:
        """Prepare without connecting."""
        self._known = known
        self._work = work
        self._session: PostgresSession | None = None
        self._ended = False

    def run(self) -> T:
        """See `Survey.run`."""
        if self._ended:
            raise closed()
        session = self._session = PostgresSession(self._known, writes=False)
        try:
            session.start(lambda: 0.0 if self._ended else time.monotonic() + BUSY_SECONDS)
            if self._ended:
                raise closed()
            return self._work(session.tx)
        except psycopg.Error as error:
            if self._ended:
                raise closed() from error
            raise Unavailable(f"The database cannot be read now: {in_a_line(error)}.") from error
        finally:
            session.close()

    def end(self) -> None:
        """See `Survey.end`."""
        self._ended = True
        with suppress(psycopg.Error):
            if self._session is not None:
                self._session.stop()
