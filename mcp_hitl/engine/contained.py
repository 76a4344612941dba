"""Keeps what an author's code raises to its own flow: nothing that it raises ends the program."""

import asyncio
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from math import inf
from typing import cast

import anyio


@contextmanager
def contained() -> Generator[None]:
    """Wrap an author's code: whatever it raises becomes an `Exception`, unless it is the program that stops.

    Raises:
        RuntimeError: it was cancelled from inside, or raised what would have ended more than its flow.
    """
    task = _task()
    try:
        yield
    except Exception:
        raise
    except BaseException as raised:
        # Of a task that is thrown away, Python closes the code, outside that task.
        if _task() is not task or anyio.current_effective_deadline() == -inf:
            raise  # we stop, or another process has the flow
        error = _alone(raised)
        if isinstance(error, anyio.get_cancelled_exc_class()):
            raise RuntimeError("it was cancelled from inside") from None
        if isinstance(error, KeyboardInterrupt) and _ctrl_c_raises():
            raise
        raise RuntimeError(_told(error)) from error


def _task() -> object:
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
