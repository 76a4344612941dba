"""Tells at once when another process writes to a file. It costs nothing while nobody does.

Libraries for this look many times a second themselves, hold events back for a while, or start other programs to find
the C library; what is needed of the system is two calls.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_ENOUGH = 65_536


class FileWatch(Protocol):
    """Watches the file that is at a path now, or appears there."""

    def fileno(self) -> int:
        """Return the descriptor that can be read once somebody has written to the file."""
        ...

    def attend(self) -> None:
        """Watch the file that is there now. It may be another one than before; if there is none, nothing is told."""
        ...

    def drain(self) -> None:
        """Take note of everything that was told."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def watch_file(path: Path) -> FileWatch | None:
    """Watch a file; None if the system cannot: it is another one, or has no room for one more watch."""
    with suppress(OSError, AttributeError):
        if sys.platform == "linux":
            return _Inotify(path)
        if sys.platform == "darwin":
            return _Kqueue(path)
    return None


if sys.platform == "linux":
    import ctypes

    # https://man7.org/linux/man-pages/man7/inotify.7.html
    _MODIFY, _DONT_FOLLOW = 0x2, 0x2000000

    class _Inotify:
        def __init__(self, path: Path) -> None:
            # The program itself is linked to the C library, whichever that is.
            libc = ctypes.CDLL(None, use_errno=True)
            self._add = libc.inotify_add_watch
            self._path = os.fsencode(path)
            self._queue = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if self._queue < 0:
                raise OSError(ctypes.get_errno(), "no inotify")

        def fileno(self) -> int:
            return self._queue

        def attend(self) -> None:
            # A file that is watched already is not watched twice.
            self._add(self._queue, self._path, _MODIFY | _DONT_FOLLOW)

        def drain(self) -> None:
            with suppress(BlockingIOError):
                os.read(self._queue, _ENOUGH)

        def close(self) -> None:
            os.close(self._queue)


if sys.platform == "darwin":
    import select

    _EVENT_ONLY = 0x8000  # O_EVTONLY: the disk can be ejected all the same

    class _Kqueue:
        def __init__(self, path: Path) -> None:
            self._path = path
            self._queue = select.kqueue()
            self._file: int | None = None

        def fileno(self) -> int:
            return self._queue.fileno()

        def attend(self) -> None:
            with suppress(OSError):
                if self._file is not None and os.path.samestat(os.fstat(self._file), os.lstat(self._path)):
                    return
                self._let_go()
                self._file = os.open(self._path, _EVENT_ONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                wish = select.kevent(
                    self._file, select.KQ_FILTER_VNODE, select.KQ_EV_ADD | select.KQ_EV_CLEAR, select.KQ_NOTE_WRITE
                )
                self._queue.control([wish], 0)

        def drain(self) -> None:
            self._queue.control([], 8, 0)

        def close(self) -> None:
            self._let_go()
            self._queue.close()

        def _let_go(self) -> None:
            if self._file is not None:
                os.close(self._file)
                self._file = None
