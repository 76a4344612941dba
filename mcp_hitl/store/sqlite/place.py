"""Where a database is, and whether its path still leads to the files that are open (THREATS T43).

SQLite goes on with an open file that has lost its name: what it commits there is durable, and found by nobody.
"""

import os
from pathlib import Path

from mcp_hitl.domain.values.errors import Unavailable, Uncertain

_BESIDE = ("", "-wal", "-shm")
"""SQLite's files: the database, its write-ahead log, and the index of that. They last as long as it is open."""

_Identity = tuple[int, int]


class Place:
    """The path of a database, and the files that it led to when they were opened."""

    def __init__(self, named: Path) -> None:
        """`named` may be a symlink. What is beside a database is beside the file that the link leads to."""
        self._named = Path(os.path.abspath(named))
        self.path = Path(os.path.realpath(named))
        self._files = (str(self._named), *(str(beside(self.path, suffix)) for suffix in _BESIDE[1:]))
        self._opened: tuple[_Identity, ...] = ()

    def remember(self) -> None:
        """Take the files that are there now, and that a connection has open, as those which were opened.

        Raises:
            Unavailable: they are not there any more.
        """
        try:
            self._opened = self._present()
        except OSError:
            raise Unavailable(f"{self._told()} Nothing was changed.") from None

    def gone(self) -> str | None:
        """Return what happened if the path no longer leads to the open files; else None. It takes microseconds."""
        try:
            return None if self._present() == self._opened else self._told()
        except OSError:
            return self._told()

    def check(self) -> None:
        """Refuse to go on with files that the path does not lead to.

        Raises:
            Unavailable: nothing was changed.
        """
        if (why := self.gone()) is not None:
            raise Unavailable(f"{why} Nothing was changed.")

    def check_committed(self) -> None:
        """Refuse to report a commit to files that the path does not lead to.

        Raises:
            Uncertain: nobody can say whether the change will be found.
        """
        if (why := self.gone()) is not None:
            raise Uncertain(
                f"{why} It is not known whether this change will be found there: look before you repeat it."
            )

    def _present(self) -> tuple[_Identity, ...]:
        return tuple([_identity(file) for file in self._files])

    def _told(self) -> str:
        return (
            f"The database {self._named} was moved, deleted or replaced while it was open. Put the very same file "
            "back, or end every process that uses it and start them again."
        )


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file beside a database."""
    return path.with_name(path.name + suffix)


def refuse_second_name(path: Path) -> None:
    """Refuse a file with two names: SQLite would write a log of its own under each, and lose what is in one of them.

    Raises:
        Unavailable: it has a second name.
        OSError: it cannot be looked at.
    """
    if path.is_file() and path.stat().st_nlink > 1:
        raise Unavailable(
            f"The database {path} has a second name (a hard link), under which another process could use it at the "
            f"same time and lose what is written here. Remove that name; `find / -xdev -samefile {path}` shows it."
        )


def _identity(path: str) -> _Identity:
    found = os.stat(path)
    return found.st_dev, found.st_ino
