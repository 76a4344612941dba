"""Whether the file is the one that its write-ahead log continues (THREATS T43).

If an older copy is written over an open file, with `cp`, the path leads to the same file as before, and SQLite goes on
with a mixture: what is in the log is new, the rest is old. So every commit adds one to a number that has a page of its
own. The log begins where everything before it is in the file: there, the first number in the log is at most one ahead
of the number in the file (https://www.sqlite.org/fileformat2.html#walformat).
"""

import os
import re
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mcp_hitl.domain.values.errors import Unavailable, Uncertain
from mcp_hitl.store.sqlite.place import beside

COUNT = "UPDATE commits SET mark = substr(mark, 1, 42) || printf('%020d', CAST(substr(mark, 43) AS INTEGER) + 1)"
"""Counts a commit, in it."""

_MARK = re.compile(rb"mcp-hitl ([0-9a-f]{32}) (\d{20})")
_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_HEADER, _FRAME = 32, 24
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_LOOKS = 3
"""A page may be read while another process writes it; it looks older each time only if it is."""
_BROKEN = (
    "The write-ahead log beside the database was overwritten by another program while it was open. End every process "
    "that uses the database, and start them again: they say whether anything was lost."
)


class _Mark(NamedTuple):
    database: bytes
    number: int


class Footing:
    """Compares the file with its log, for one connection."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        """Use the file at `path`, which `db` has open. `close` it after `db`."""
        self._db = db
        self._key = share(path)
        self._file = _shared[self._key].descriptor
        self._log_path = str(beside(path, "-wal"))
        self._log: int | None = None
        self._lost = False
        """True once a commit went to a log without a header."""
        self._page = self._root = 0
        """The size of a page, and the number of the one with the mark; 0 until they are known."""
        self._salts, self._next = b"", _HEADER
        self._first: _Mark | None = None
        """The first mark in the log that has these salts, and where to go on looking for it."""

    def is_older(self) -> bool:
        """Return True if the file is older than what its log continues, or another database. It takes microseconds.

        Raises:
            Unavailable: the log was overwritten.
        """
        with suppress(OSError):  # the place tells that the files are gone
            return self._looks_older() and all(self._looks_older(anew=True) for _ in range(_LOOKS))
        return False

    def check_committed(self) -> None:
        """Refuse to report a commit that wrote something to a log that nobody can read after a restart.

        Raises:
            Uncertain: nobody can say whether the change will be found.
        """
        with suppress(OSError):
            if _is_broken(self._header()):
                self._lost = True
                raise Uncertain(f"{_BROKEN} It is not known whether this change was kept: look before you repeat it.")

    def close(self) -> None:
        """Close the files."""
        unshare(self._key)
        if self._log is not None:
            os.close(self._log)

    def _looks_older(self, *, anew: bool = False) -> bool:
        header = self._header()
        if _is_broken(header):
            if self._lost:
                raise Unavailable(f"{_BROKEN} Nothing was changed.")
            return False  # a crash may leave it so; SQLite takes it for empty until it writes to it
        if header and (anew or self._root == 0):
            self._find_page()
        first = self._first_in_log(header[16:24]) if header and self._root else None
        if first is None:
            return False
        held = _mark_in(_read(self._file, self._page, (self._root - 1) * self._page), max)
        return held is not None and (held.database != first.database or held.number < first.number - 1)

    def _find_page(self) -> None:
        self._page = self._db.execute("PRAGMA page_size").fetchone()[0]
        row: Any = self._db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'commits'").fetchone()
        self._root, self._salts = row[0] if row else 0, b""

    def _header(self) -> bytes:
        if self._log is None:
            self._log = os.open(self._log_path, _READING)
        return _read(self._log, _HEADER, 0)

    def _first_in_log(self, salts: bytes) -> _Mark | None:
        assert self._log is not None
        if salts != self._salts:
            self._salts, self._next, self._first = salts, _HEADER, None
        while self._first is None:
            frame = _read(self._log, _FRAME, self._next)
            if frame[8:16] != salts:
                break
            if int.from_bytes(frame[:4], "big") == self._root:
                self._first = _mark_in(_read(self._log, self._page, self._next + _FRAME), min)
            self._next += _FRAME + self._page
        return self._first


def _mark_in(page: bytes, which: Callable[[list[_Mark]], _Mark]) -> _Mark | None:
    """Return the mark on a page, on which another program may have left earlier ones too."""
    found = [_Mark(one[1], int(one[2])) for one in _MARK.finditer(page)]
    return which(found) if found else None


def _is_broken(header: bytes) -> bool:
    return bool(header) and header[:4] not in _MAGIC


def _read(descriptor: int, count: int, at: int) -> bytes:
    if sys.platform != "win32":
        return os.pread(descriptor, count, at)
    with _door:
        os.lseek(descriptor, at, os.SEEK_SET)
        return os.read(descriptor, count)


class _Shared(NamedTuple):
    descriptor: int
    users: int


_door = threading.Lock()
_shared: dict[tuple[int, int], _Shared] = {}
"""The databases that this process has open."""


def share(path: Path) -> tuple[int, int]:
    """Open a database, if it is not open yet, and return what identifies it.

    Closing any descriptor of a file ends all locks of the process on it, SQLite's included, so its last user closes it
    (https://www.sqlite.org/howtocorrupt.html, section 2.2).

    Raises:
        Unavailable: it cannot be opened.
    """
    try:
        with _door:
            found = path.stat()
            key = found.st_dev, found.st_ino
            held = _shared.get(key) or _Shared(os.open(path, _READING), 0)
            _shared[key] = held._replace(users=held.users + 1)
            return key
    except OSError as error:
        raise Unavailable(f"The database {path} cannot be opened: {error}.") from error


def unshare(key: tuple[int, int]) -> None:
    """Close a database that `share` returned, if nobody else uses it. Close every connection of SQLite's before."""
    with _door:
        held = _shared.pop(key)
        if held.users > 1:
            _shared[key] = held._replace(users=held.users - 1)
        else:
            os.close(held.descriptor)
