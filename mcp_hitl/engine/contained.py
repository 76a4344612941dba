"""Keeps what an author's code raises to its own flow: nothing that it raises ends the program."""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from math import inf
from typing import Any, TypeVar, cast

import anyio

T = TypeVar("T")


@contextmanager
def contained(*, whole: bool = False) -> Generator[None]:
    """Wrap an author's code: whatever it raises becomes an `Exception`, unless it is the program that stops.

    `whole` says that it is all of a flow's code, so that nobody in it is left who could have cancelled this task.

    Raises:
        RuntimeError: it was cancelled from inside, or raised what would have ended more than its flow.
    """
    task = _task()
    asked = task.cancelling() if task is not None else 0
    try:
        yield
    except Exception:
        if whole:
            _forget_cancels(task, asked)
        raise
    except BaseException as raised:
        # Of a task that is thrown away, Python closes the code, outside that task.
        if _task() is not task or anyio.current_effective_deadline() == -inf:
            raise  # we stop, or another process has the flow
        if whole:
            _forget_cancels(task, asked)
        elif task is not None and task.cancelling() > asked:
            raise  # a task group or a time limit around it ends it; to try it again would be wrong
        error = _alone(raised)
        if isinstance(error, anyio.get_cancelled_exc_class()):
            raise RuntimeError("it was cancelled from inside") from None
        if isinstance(error, KeyboardInterrupt) and _ctrl_c_raises():
            raise
        raise RuntimeError(_told(error)) from error


async def kept(code: Coroutine[Any, Any, T]) -> T:
    """Run the code of a task that an author's code started. What would end more than the task becomes its error.

    asyncio ends the program at the first two, and closes the code of whoever awaits the task at the third.

    Raises:
        RuntimeError: it raised one of them. Whatever else it raises is left to those who await the task.
    """
    task = _task()
    try:
        return await code
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        if _task() is not task or (isinstance(error, KeyboardInterrupt) and _ctrl_c_raises()):
            raise
        raise RuntimeError(_told(error)) from error


def _forget_cancels(task: "asyncio.Task[Any] | None", asked: int) -> None:
    """Forget how often an author's code cancelled this task. Until Python 3.13, a task group leaves that behind."""
    while task is not None and anyio.current_effective_deadline() != -inf and task.cancelling() > asked:
        task.uncancel()


def _task() -> "asyncio.Task[Any] | None":
    """Return the task that runs now, or None."""
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs
        return None


def _alone(error: BaseException) -> BaseException:
    """Return the error in a group of one, as a task group raises it."""
    group = isinstance(error, BaseExceptionGroup)
    inner = cast("BaseExceptionGroup[BaseException]", error).exceptions if group else ()
    return _alone(inner[0]) if len(inner) == 1 else error


def _ctrl_c_raises() -> bool:
    """Return True if Ctrl-C raises KeyboardInterrupt wherever the program is; under asyncio's runners it does not."""
    ours = threading.current_thread() is threading.main_thread()
    return ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _told(error: BaseException) -> str:
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return "it tried to end the whole program"
    return f"it raised {type(error).__name__}, which is not an Exception"
