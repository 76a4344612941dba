"""What one process at a time has hold of: the system lets go of it for a process that dies, however it dies."""

from pathlib import Path

from filelock import FileLock, Timeout


class Holding:
    """Locks on files beside the database."""

    def __init__(self, database: Path) -> None:
        """Beside `database`."""
        self._database = database
        self._held: dict[str, FileLock] = {}

    def hold(self, name: str) -> bool:
        """See `Store.hold`."""
        if name in self._held:
            return True
        lock = FileLock(
            self._database.with_name(f"{self._database.name}.{name}"), timeout=0, mode=0o600, thread_local=False
        )
        try:
            lock.acquire()
        except Timeout:
            return False
        self._held[name] = lock
        return True

    def let_go(self, name: str) -> None:
        """See `Store.let_go`."""
        lock = self._held.pop(name, None)
        if lock is not None:
            lock.release()

    def is_held(self, name: str) -> bool:
        """See `Store.is_held`."""
        if name in self._held:
            return True
        taken = self.hold(name)
        self.let_go(name)
        return not taken

    def close(self) -> None:
        """Let go of everything."""
        for name in list(self._held):
            self.let_go(name)
