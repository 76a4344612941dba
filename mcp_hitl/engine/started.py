"""The tasks that a flow's code starts: what they raise stays in their flow, and they end with its run."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

import anyio

from mcp_hitl.engine.contained import kept
from mcp_hitl.engine.run_ends import RunStops

_END_SECONDS = 1.0
"""How long a run waits for tasks that it has cancelled. One that does not end by then is left alone."""

_Tasks = set["asyncio.Task[Any]"]
_RUN: ContextVar["_Tasks | None"] = ContextVar("_RUN", default=None)
"""The tasks that the code of this run has started; None if no flow's code runs. A task inherits it."""
_ACTION: ContextVar[str | None] = ContextVar("_ACTION", default=None)
"""The name of the step whose action runs, and of whatever that action starts."""


@asynccontextmanager
async def tasks_end_with_it() -> AsyncGenerator[None]:
    """Wrap a flow's code: end what it has started and left behind, and keep what that raises to its own task."""
    _watch(asyncio.get_running_loop())
    tasks: _Tasks = set()
    token = _RUN.set(tasks)
    try:
        yield
    finally:
        _RUN.reset(token)
        await _end(tasks)


@contextmanager
def acting(name: str) -> Generator[None]:
    """Wrap the action of a step. A connection that it opens for everybody, say, may outlive the run."""
    token = _ACTION.set(name)
    try:
        yield
    finally:
        _ACTION.reset(token)


def action() -> str | None:
    """Return the name of the step whose action, or something that it started, runs now; None outside of actions."""
    return _ACTION.get()


async def _end(tasks: _Tasks) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        with anyio.CancelScope(shield=True):
            await asyncio.wait(tasks, timeout=_END_SECONDS)


class _Factory:
    """Makes the tasks of an event loop as they were made before, and watches over those that a flow starts."""

    def __init__(self, before: Callable[..., Any] | None) -> None:
        self._before = before or _plain

    def __call__(self, loop: asyncio.AbstractEventLoop, code: Coroutine[Any, Any, Any], **how: Any) -> Any:
        tasks = _RUN.get()
        if tasks is None:
            return self._before(loop, code, **how)
        task = self._before(loop, _quiet(code), **how)
        task.add_done_callback(partial(_close, code))
        if action() is None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return task


def _watch(loop: asyncio.AbstractEventLoop) -> None:
    before = cast("Callable[..., Any] | None", loop.get_task_factory())
    if not isinstance(before, _Factory):
        loop.set_task_factory(cast("Any", _Factory(before)))


def _plain(loop: asyncio.AbstractEventLoop, code: Coroutine[Any, Any, Any], **how: Any) -> "asyncio.Task[Any]":
    return asyncio.Task(code, loop=loop, **how)


def _close(code: Coroutine[Any, Any, Any], _: "asyncio.Task[Any]") -> None:
    """Close the code of a task that was cancelled before it began."""
    code.close()


async def _quiet(code: Coroutine[Any, Any, Any]) -> Any:
    """Run the code of a task. That its run stops is no error to complain of, if nobody awaits the task."""
    try:
        return await kept(code)
    except BaseException as error:
        task = asyncio.current_task()
        if task is not None and _only_stops(error):
            task.add_done_callback(_look_at)
        raise


def _only_stops(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(RunStops)[1] is None
    return isinstance(error, RunStops)


def _look_at(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()
