"""What goes on in one run of a flow: the steps that act now, and what has stopped the run."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.engine.run_ends import Interrupted, RunStops

_CALM = 10
"""The turns of the event loop after which what the code has started must have begun its first step."""


class Activity:
    """The steps of one run that go on at the same time. One that waits for a person or a time does not go on."""

    def __init__(self) -> None:
        """Nothing goes on yet."""
        self.count = 0
        self._began = 0
        self._uncut = 0
        """The number of steps that must not be cut off."""
        self._changed: anyio.Event | None = None
        """Made by the first who waits for a change: mostly nobody does."""
        self._start: Callable[..., object] | None = None
        self._stop: RunStops | Unavailable | None = None

    @asynccontextmanager
    async def step(self) -> AsyncGenerator[None]:
        """Wrap a step: an error that stops the flow stops it permanently, even if its code catches everything."""
        self._go(1)
        try:
            yield
        except (RunStops, Unavailable) as stop:
            self.stop(stop)
            while self._uncut:  # a task group that this error reaches would cancel them
                await self.change()
            raise
        finally:
            self._go(-1)

    @contextmanager
    def uncut(self) -> Generator[None]:
        """Wrap a step that acts at most once: whatever stops the flow beside it waits until it has ended."""
        self._uncut += 1
        try:
            yield
        finally:
            self._uncut -= 1
            self.note()

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Wrap a run: when it is cancelled from outside, stop the flow before its code begins another step."""
        failed: Exception | None = None
        over = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._stop_after, over)
            # Whatever task calls it: what it starts is no part of the flow's code.
            self._start = partial(copy_context().run, tasks.start_soon)
            try:
                yield
            except Exception as error:
                failed = error
            over.set()
        if failed is not None:
            raise failed

    def start(self, beside: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `beside`, which ends when the flow stops, in a task of the run."""
        if self._start is not None:
            self._start(beside)

    async def _stop_after(self, over: anyio.Event) -> None:
        try:
            await over.wait()
        finally:
            self.stop(Interrupted())

    @contextmanager
    def resting(self) -> Generator[None]:
        """Wrap the part of a step in which it only waits."""
        self._go(-1)
        try:
            yield
        finally:
            self._go(1)

    def stop(self, stop: RunStops | Unavailable) -> RunStops | Unavailable:
        """Stop the flow permanently, even if its code catches the error. Return the first error, which counts."""
        self._stop = self._stop or stop
        self.note()
        return self._stop

    def go_on(self) -> None:
        """Raise what has stopped the flow, if anything has."""
        if self._stop is not None:
            raise self._stop

    @property
    def stopped(self) -> bool:
        """True if something has stopped the flow."""
        return self._stop is not None

    async def change(self) -> None:
        """Return when a step begins or ends, or the flow stops, or somebody tells it with `note`."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    async def rest(self) -> None:
        """Return when no step has begun for some turns of the event loop, or the flow has stopped.

        Then the flow's code has done what it does after the end of a step, in all its tasks.
        """
        turns = 0
        while turns < _CALM and self._stop is None:
            began = self._began
            await anyio.lowlevel.checkpoint()
            turns = turns + 1 if began == self._began else 0

    async def calm(self, unless: Callable[[], bool]) -> None:
        """Return when no step goes on and none begins for some turns of the event loop, or the flow has stopped.

        Return at once when `unless` becomes true.
        """
        turns = 0
        while turns < _CALM and self._stop is None and not unless():
            began = self._began
            if self.count:
                await self.change()
            await anyio.lowlevel.checkpoint()
            turns = turns + 1 if began == self._began and not self.count else 0

    async def over(self) -> None:
        """Return when no step goes on any more."""
        while self.count:
            await self.change()

    def _go(self, more: int) -> None:
        self.count += more
        self._began += more > 0
        self.note()

    def note(self) -> None:
        """Wake those who wait for a change."""
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
