"""Callers that wait for what they ask to be durable, and the thread that writes for all of them."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Self
from uuid import uuid4

from benchmarks.floor.desk import Transactions, canonical, decide, end, start, submit

Job = tuple[Callable[..., None], tuple[Any, ...], "asyncio.Future[None]"]


class Floor:
    """The thread that writes for all callers, while the block lasts."""

    def __init__(self, database: Callable[[], AbstractContextManager[Transactions]]) -> None:
        self._database, self._loop = database, asyncio.get_running_loop()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = Thread(target=self._run)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    async def do(self, work: Callable[..., None], *values: Any) -> None:
        """Return when the work is durable."""
        told = self._loop.create_future()
        self._jobs.put((work, values, told))
        await told

    def _run(self) -> None:
        with self._database() as transaction:
            while jobs := self._queued():
                self._loop.call_soon_threadsafe(_tell, jobs, _written(transaction, jobs))

    def _queued(self) -> list[Job]:
        jobs: list[Job] = []
        job = self._jobs.get()
        while job:
            jobs.append(job)
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return jobs
        if jobs:
            self._jobs.put(None)
        return jobs


def _written(transaction: Transactions, jobs: Sequence[Job]) -> Sequence[Exception | None]:
    """Commit the jobs together, or each for itself if one of them fails."""
    try:
        with transaction() as write:
            for work, values, _ in jobs:
                work(write, *values)
    except Exception as error:
        return [error] if len(jobs) == 1 else [_written(transaction, [job])[0] for job in jobs]
    return [None] * len(jobs)


def _tell(jobs: Sequence[Job], errors: Sequence[Exception | None]) -> None:
    for (*_, told), error in zip(jobs, errors, strict=True):
        if not told.done():
            told.set_exception(error) if error else told.set_result(None)


async def cycle(floor: Floor, payload: dict[str, Any]) -> None:
    """One approval from its submission to its outcome."""
    approval, text = uuid4().hex, canonical(payload)
    digest = sha256(text.encode()).hexdigest()
    await floor.do(submit, approval, text, digest, 3600)
    await floor.do(decide, approval, digest, "ana", "approved")
    await floor.do(start, approval, "pay")
    await floor.do(end, approval, "pay", "paid")
