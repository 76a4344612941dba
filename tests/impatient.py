"""An end to what would stall a process."""

import signal
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def seconds(limit: float) -> Generator[None]:
    """End the block with an error after `limit`. Python's `re` looks for signals while it matches.

    A system without interval timers has no limit.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    def over(*_: object) -> None:
        raise TimeoutError("this stalls the process")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
