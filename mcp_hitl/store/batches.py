"""A thread that runs all reads, or all writes, of the process on one connection.

Queued work runs together in one transaction: one commit, one wait for the disk. A caller gets an answer only after the
commit; a failed commit fails every caller in it. Writes seldom fail, and then mostly before they have changed anything.
If one fails later, all are undone and run again, each in a savepoint of its own, so that only this one is undone.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.transaction import Transaction

T = TypeVar("T")

BUSY_SECONDS = 30.0
"""How long a write waits for other processes. Each client of one person starts its own process."""
MOST_TOGETHER = 64
_HURRY_SECONDS = 1.0

_Work = Callable[[Transaction], Any]
_Caller = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]"]
_Job = tuple[_Work, _Caller]
_Result = tuple[Any, Exception | None]


class Session(Protocol):
    """One connection of a store, for one thread, and what a batch needs of it."""

    @property
    def tx(self) -> Transaction:
        """The view, or transaction, of what `start` has begun."""
        ...

    @property
    def open(self) -> bool:
        """True from `start` on, until it is ended or the database gives it up."""
        ...

    def start(self, until: Callable[[], float]) -> None:
        """Begin a transaction, at the latest at `until` of `time.monotonic()`, which may come nearer meanwhile.

        Raises:
            Exception: it cannot be begun by then.
        """
        ...

    def end(self, *, failed: bool) -> None:
        """Commit; or roll back if it `failed`.

        Raises:
            Exception: it could not be committed, and nothing was changed.
            Uncertain: it is not known whether it was committed.
        """
        ...

    def undo(self) -> None:
        """Roll back what is open, if anything is."""
        ...

    def mark(self, *, savepoint: bool) -> None:
        """Begin a part of the transaction. Without a `savepoint` it can be undone only if it has changed nothing."""
        ...

    def end_part(self, *, failed: bool) -> bool:
        """End this part, and undo it if it `failed`. Return False if it cannot be undone."""
        ...

    def told(self, error: BaseException, *, own: bool) -> Exception:
        """Return the error for a caller. `own` is True if the statement may be the caller's own."""
        ...

    def given_up(self, error: BaseException | None) -> Exception:
        """Return the error for callers whose transaction the database gave up, perhaps without saying why."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class _Entangled(Exception):
    """Work has failed that cannot be undone without the work beside it."""


class Batches(threading.Thread):
    """One of a store's two threads; `writes` says which."""

    def __init__(self, session: Session, *, writes: bool) -> None:
        """Start the thread on `session`, which belongs to it from now on."""
        super().__init__(name=f"mcp-hitl {'writer' if writes else 'reader'}", daemon=True)
        self._session = session
        self._writes = writes
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._finishing = False
        self._hurry_until: float | None = None
        self._door = threading.Lock()
        self.start()

    async def call(self, work: Callable[[Any], T]) -> T:
        """Run `work` and return its result after the commit. If cancelled before its turn, `work` does not run at all.

        Raises:
            Unavailable: the commit failed, or the thread has finished.
            Uncertain: it is not known whether the commit failed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._door:
            if self._finishing:
                raise closed()
            self._jobs.put((work, (loop, future)))
        return await future

    def hurry(self) -> None:
        """Wait for other processes at most one second more; work that cannot begin by then is refused."""
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
        self._session.close()

    def _next_batch(self) -> tuple[list[_Job], bool]:
        batch: list[_Job] = []
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

    def _run_together(self, batch: list[_Job]) -> None:
        session, own = self._session, False
        try:
            started = time.monotonic()
            until = partial(self._patience, started)
            session.start(until)
            own = self._writes and len(batch) == 1
            if own or not self._writes:
                results = [self._run_one(work, apart=False) for work, _ in batch]
            else:
                results = self._run_apart(batch, until)
            session.end(failed=own and results[0][1] is not None)
        except BaseException as error:  # whatever it is, everybody is told, and the thread goes on
            session.undo()
            results: list[_Result] = [(None, session.told(error, own=own))] * len(batch)
        _answer([caller for _, caller in batch], results)

    def _patience(self, started: float) -> float:
        return min(started + BUSY_SECONDS, self._hurry_until or math.inf)

    def _run_apart(self, batch: list[_Job], until: Callable[[], float]) -> list[_Result]:
        """Run writes of which each succeeds or fails by itself."""
        try:
            return [self._run_part(work, savepoint=False) for work, _ in batch]
        except _Entangled:
            self._session.undo()
            self._session.start(until)
            return [self._run_part(work, savepoint=True) for work, _ in batch]

    def _run_part(self, work: _Work, *, savepoint: bool) -> _Result:
        self._session.mark(savepoint=savepoint)
        result = self._run_one(work, apart=True)
        if not self._session.end_part(failed=result[1] is not None):
            raise _Entangled
        return result

    def _run_one(self, work: _Work, *, apart: bool) -> _Result:
        session = self._session
        result, error = None, None
        try:
            result = work(session.tx)
        except BaseException as raised:
            error = raised
        if not session.open:
            # The database gave the whole transaction up (disk full, connection lost): nobody's work is left.
            raise session.given_up(error) if error is None or apart else error
        return result, None if error is None else session.told(error, own=self._writes)


def closed() -> Unavailable:
    """Return the error for work that comes too late."""
    return Unavailable("The database is closed; the server is stopping. Nothing was changed.")


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
