"""A thread with its own connection that runs all reads, or all writes, of the process.

Queued work runs together in one transaction, each write in its own savepoint: one commit, one wait for the disk. A
caller gets an answer only after the commit; a failed commit fails every caller in it.
"""

import asyncio
import math
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.sqlite import connection
from mcp_hitl.store.sqlite.commit import commit, settle, undo
from mcp_hitl.store.sqlite.connection import check_version, connect
from mcp_hitl.store.sqlite.errors import is_busy, told, unavailable
from mcp_hitl.store.sqlite.footing import COUNT, Footing
from mcp_hitl.store.sqlite.kept_head import Head, KeptHead
from mcp_hitl.store.sqlite.place import Place
from mcp_hitl.store.sqlite.transaction import SqliteTransaction

T = TypeVar("T")

MOST_TOGETHER = 64
_SLICE_MS = 100
"""A thread waits for another process's lock in short intervals, and checks in between whether it should hurry."""
_HURRY_SECONDS = 1.0

_Work = Callable[[SqliteTransaction], Any]
_Caller = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]"]
_Result = tuple[Any, Exception | None]


class DatabaseThread(threading.Thread):
    """One of a store's two threads; `writes` says which."""

    def __init__(self, place: Place, *, writes: bool, committed: Callable[[], None] | None = None) -> None:
        """Open the connection and start the thread.

        `committed` is called from this thread after each commit.

        Raises:
            Unavailable: the file cannot be opened.
        """
        super().__init__(name=f"mcp-hitl {'writer' if writes else 'reader'}", daemon=True)
        self._db = connect(place.path)
        self._place = place
        self._kept = KeptHead(place.path)
        self._kept_before: Head | None = None
        self._footing = Footing(place.path, self._db)
        self._changes_before = 0
        self._is_mixed = False
        self._db.execute(f"PRAGMA busy_timeout = {_SLICE_MS}")
        if not writes:
            self._db.execute("PRAGMA query_only = ON")
        self._writes = writes
        self._begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
        self._committed = committed
        self._jobs: SimpleQueue[tuple[_Work, _Caller] | None] = SimpleQueue()
        self._finishing = False
        self._hurry_until: float | None = None
        self._door = threading.Lock()
        self._tx = SqliteTransaction(self._db)
        self.start()

    async def call(self, work: Callable[[SqliteTransaction], T]) -> T:
        """Run `work` and return its result after the commit. If cancelled before its turn, `work` does not run at all.

        Raises:
            Unavailable: the commit failed, the path leads elsewhere, or the thread has finished.
            Uncertain: it is not known whether the commit failed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._door:
            if self._finishing:
                raise Unavailable("The database is closed; the server is stopping. Nothing was changed.")
            self._jobs.put((work, (loop, future)))
        return await future

    def hurry(self) -> None:
        """Wait for another process's lock at most one second more; work that cannot begin by then is refused."""
        if self._hurry_until is None:
            self._hurry_until = time.monotonic() + _HURRY_SECONDS

    def finish(self) -> None:
        """Run the queued work, in a hurry, close the connection and end the thread. Return when that is done."""
        self.hurry()
        with self._door:
            self._finishing = True
            self._jobs.put(None)
        self.join()

    def run(self) -> None:
        """Take jobs until `finish`."""
        last = False
        while not last:
            batch, last = self._next_batch()
            if batch:
                self._run_together(batch)
        self._kept.close()
        self._db.close()
        self._footing.close()

    def _next_batch(self) -> tuple[list[tuple[_Work, _Caller]], bool]:
        batch: list[tuple[_Work, _Caller]] = []
        job = self._jobs.get()
        while job is not None:
            if not job[1][1].cancelled():
                batch.append(job)
            if len(batch) == MOST_TOGETHER:
                return batch, False
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _run_together(self, batch: list[tuple[_Work, _Caller]]) -> None:
        callers = [caller for _, caller in batch]
        apart = self._writes and len(batch) > 1
        own = False
        try:
            self._start_transaction()
            own = self._writes and not apart
            results = [self._run_one(work, apart) for work, _ in batch]
            self._end_transaction(failed=own and results[0][1] is not None)
        except BaseException as error:  # whatever it is, everybody is told, and the thread goes on
            undo(self._db)
            results: list[_Result] = [(None, told(error, own=own))] * len(batch)
        _answer(callers, results)

    def _start_transaction(self) -> None:
        started = time.monotonic()
        while True:
            # First: what is kept after the snapshot was taken need not be in it.
            self._tx.log.kept = self._kept_before = self._kept.read()
            try:
                self._db.execute(self._begin)
                check_version(self._db)
                break
            except sqlite3.OperationalError as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                until = min(started + connection.BUSY_SECONDS, self._hurry_until or math.inf)
                if not is_busy(error) or time.monotonic() >= until:
                    raise
        self._tx.forget()
        self._changes_before = self._db.total_changes
        self._tx.log.is_mixed = self._is_mixed = self._footing.is_older()
        if self._writes:
            self._place.check()

    def _end_transaction(self, *, failed: bool) -> None:
        """End the transaction, and make sure that what is answered now is true of the file at the path."""
        if failed or not self._writes:
            self._db.execute("ROLLBACK" if failed else "COMMIT")
            self._place.check()
            return
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

    def _run_one(self, work: _Work, apart: bool) -> _Result:
        """Return the result of one piece of work. If it fails and runs `apart`, only its own changes are undone."""
        if apart:
            self._db.execute("SAVEPOINT job")
        result, error = None, None
        try:
            result = work(self._tx)
        except BaseException as raised:
            error = raised
        if not self._db.in_transaction:
            # SQLite gave the whole transaction up (disk full, I/O error): nobody's work is left.
            raise unavailable(error) if error is None or apart else error
        if apart and error is not None:
            self._db.execute("ROLLBACK TO job")
            self._tx.forget()
        if apart:
            self._db.execute("RELEASE job")
        return result, None if error is None else told(error, own=self._writes)


def _answer(callers: list[_Caller], results: list[_Result]) -> None:
    """Hand the results to the callers. Each event loop is woken once, however many callers wait there."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], _Result]]] = {}
    for (loop, future), result in zip(callers, results, strict=True):
        by_loop.setdefault(loop, []).append((future, result))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop closed meanwhile, so nobody waits
            loop.call_soon_threadsafe(_deliver, answers)


def _deliver(answers: list[tuple[asyncio.Future[Any], _Result]]) -> None:
    for future, (result, raised) in answers:
        if future.done():
            continue  # the caller was cancelled while it ran
        try:
            if raised is None:
                future.set_result(result)
            else:
                future.set_exception(raised)
        except Exception as error:  # the others are answered all the same
            future.set_exception(RuntimeError(f"The answer could not be handed over: {error!r}"))
