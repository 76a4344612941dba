"""What runs in the background of every process that serves: the change feed and the workers."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Protocol

import anyio

from mcp_hitl.config.policy_source import PolicySource
from mcp_hitl.desk import Desk
from mcp_hitl.desk.feed import ANY, Feed
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.engine.clock_check import ClockCheck
from mcp_hitl.engine.eraser import Eraser
from mcp_hitl.engine.older_copies import OlderCopies
from mcp_hitl.engine.policy_check import PolicyCheck
from mcp_hitl.engine.run import AnyFlow, Make, new
from mcp_hitl.engine.runner import Runner, load_flows
from mcp_hitl.engine.timers import Timers

logger = logging.getLogger(__name__)

Flows = Mapping[str, type[AnyFlow]]

_RETRY_SECONDS = 1.0


class Worker(Protocol):
    """Something that has its turn again and again in the background. Any number of processes do so at the same time."""

    @property
    def name(self) -> str:
        """What the log calls it, such as `the timers`."""
        ...

    @property
    def wakes_on(self) -> Collection[Event]:
        """The events after which it has its turn at once."""
        ...

    @property
    def seconds(self) -> float:
        """The most seconds between two turns."""
        ...

    async def turn(self) -> Sequence[Callable[[], Awaitable[None]]] | None:
        """Do what is due now. If it raises, it has another turn after a pause. It may be cancelled at any time.

        It can return work that goes on beside the next turns. When a piece of it has ended, there is another turn.
        """
        ...


@asynccontextmanager
async def serve(
    desk: Desk, flows: Flows | None = None, *, policy: PolicySource | None = None, make: Make = new
) -> AsyncGenerator[Desk]:
    """Follow the feed and give every worker its turns while the block runs: everything that a server does.

    `flows` are flows by kind; `policy` is followed when its file changes; `make` returns the instance of a flow for
    one run.
    """
    runner = runner_of(desk, flows, make=make)
    workers: list[Worker] = [ClockCheck(desk), OlderCopies(desk), timers_of(desk), runner, Eraser(desk)]
    if policy is not None:
        workers.append(PolicyCheck(desk, policy.look))
    async with desk.open(), working(desk.feed, workers):
        yield desk


@asynccontextmanager
async def working(feed: Feed, workers: Iterable[Worker]) -> AsyncGenerator[None]:
    """Give these workers their turns while the block runs, and cancel them after it."""
    async with anyio.create_task_group() as tasks:
        for worker in workers:
            tasks.start_soon(_Turns(worker, feed).run)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


def timers_of(desk: Desk) -> Timers:
    """Return the timers of a desk: reminders, escalations and expiry."""
    return Timers(desk.store, desk.clock)


def runner_of(desk: Desk, flows: Flows | None = None, *, make: Make = new) -> Runner:
    """Return the runner for a desk's flows: those of the rulebook's kinds, and `flows` by kind.

    `make` returns the instance of a flow for one run, and can hand it what it needs, such as a connection.
    """
    known = load_flows(desk.rulebook, flows or {})
    return Runner(
        desk.store, clock=desk.clock, rulebook=lambda: desk.rulebook, effects=desk.effects, flows=known, make=make
    )


class _Turns:
    """The turns of one worker."""

    def __init__(self, worker: Worker, feed: Feed) -> None:
        self._worker = worker
        self._feed = feed
        self._woken = anyio.Event()
        self._failures: set[str] = set()
        """The kinds of failure since the last turn that went well: each is logged once."""

    async def run(self) -> None:
        """Give the worker its turns until cancelled."""
        events = self._worker.wakes_on
        listening = self._feed.listen(ANY, lambda _: self._woken.set(), events=events) if events else nullcontext()
        async with anyio.create_task_group() as tasks, listening:
            while True:
                self._woken = anyio.Event()
                try:
                    for work in await self._worker.turn() or ():
                        tasks.start_soon(self._beside, work)
                except Exception as error:
                    self._failed(error)
                    await anyio.sleep(_RETRY_SECONDS)
                else:
                    self._failures.clear()
                    with anyio.move_on_after(self._worker.seconds):
                        await self._woken.wait()

    async def _beside(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:
            self._failed(error)
        self._woken.set()

    def _failed(self, error: Exception) -> None:
        """Log a failure. Whatever it is, the server goes on, and so does every other worker."""
        ours = isinstance(error, HitlError)
        kind = str(error) if ours else type(error).__name__
        if kind not in self._failures:
            self._failures.add(kind)
            logger.warning("%s cannot run: %s", self._worker.name, error, exc_info=not ours)
