"""Surveys: long reads, each with its own connection and snapshot, so that they delay nobody."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from mcp_hitl.store.batches import closed
from mcp_hitl.store.view import View

T = TypeVar("T")

MOST_AT_ONCE = 4
"""The most surveys that run at the same time; others wait for their turn."""


class Survey(Protocol):
    """One survey."""

    def run(self) -> Any:
        """Connect, read and close, in the survey's thread.

        Raises:
            Unavailable: the database cannot be read, or `end` was called.
        """
        ...

    def end(self) -> None:
        """End it early; called from another thread."""
        ...


class Surveys:
    """The surveys of one store."""

    def __init__(self, survey: Callable[[Callable[[View], Any]], Survey]) -> None:
        """Prepare without connecting, since most processes never run a survey. `survey` makes one for some work."""
        self._survey = survey
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="mcp-hitl survey")
        self._going: set[Survey] = set()
        self._finishing = False
        self._door = threading.Lock()

    async def call(self, work: Callable[[View], T]) -> T:
        """Run `work` in its own thread. If cancelled, it ends within milliseconds of the database's work.

        Raises:
            Unavailable: the database cannot be read, or `finish` was called.
        """
        survey = self._survey(work)
        with self._door:
            if self._finishing:
                raise closed()
            self._going.add(survey)
            future = self._threads.submit(survey.run)
        future.add_done_callback(lambda _: self._going.discard(survey))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            survey.end()
            raise

    def end(self) -> None:
        """End all surveys early, and refuse new ones."""
        with self._door:
            self._finishing = True
        for survey in self._going.copy():
            survey.end()

    def finish(self) -> None:
        """End all surveys, and return when every connection is closed."""
        self.end()
        self._threads.shutdown()
