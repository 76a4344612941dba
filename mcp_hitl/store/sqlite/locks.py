"""Locks that one process at a time can hold. The system releases them when the process ends, however it ends."""

import os
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock


class Locks:
    """Locks on files next to the database."""

    def __init__(self, database: Path) -> None:
        """Use lock files next to `database`."""
        self._database = database
        self._held: dict[str, FileLock] = {}

    def hold(self, name: str) -> bool:
        """See `Store.hold`."""
        if name in self._held:
            return True
        # Imported late: whoever only looks needs none of it.
        from filelock import FileLock, Timeout

        lock = FileLock(_beside(self._database, name), timeout=0, mode=0o600, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._held[name] = lock
        return True

    def hold_one_of(self, name: str) -> str:
        """See `Store.hold_one_of`. The files stay, and there are never more than there were holders at once."""
        return next(one for n in count(1) if (one := f"{name}-{n}") not in self._held and self.hold(one))

    def let_go(self, name: str) -> None:
        """See `Store.let_go`."""
        lock = self._held.pop(name, None)
        if lock is not None:
            lock.release()

    def is_held(self, name: str) -> bool:
        """See `Store.is_held`."""
        return name in self._held or _is_held(_beside(self._database, name))

    def close(self) -> None:
        """Release all locks."""
        for name in list(self._held):
            self.let_go(name)


def held_beside(database: Path, name: str) -> bool:
    """Return True if a process holds the lock `name`. The database need not be open, and no file is created."""
    return _is_held(_beside(Path(os.path.realpath(database)), name))


def _is_held(path: Path) -> bool:
    return path.exists() and _is_locked(path)


def _beside(database: Path, name: str) -> Path:
    return database.with_name(f"{database.name}.{name}")


if sys.platform == "win32":

    def _is_locked(path: Path) -> bool:
        from filelock import FileLock, Timeout

        # Two that look at once may see each other here; they look again within a second.
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True

else:
    import fcntl

    def _is_locked(path: Path) -> bool:
        # Shared: those who look at once do not see each other. Who takes it meanwhile tries again within a second.
        try:
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # what is no file might be waited for
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(file)
        return False
