"""The newest head of the chain, kept in a file next to the database: an older copy of the database lacks it (T43).

It is written after the commit and never synced: a head that a crash has left behind its chain is in the chain all the
same, and one that is ahead of what the disk holds cannot be. Whatever is no whole head counts as none.
"""

import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from mcp_hitl.store.sqlite.files import open_plain
from mcp_hitl.store.sqlite.place import beside

logger = logging.getLogger(__name__)

Head = tuple[int, str]

_LINE = re.compile(rb"(\d{20} (sha256:[0-9a-f]{64})) ([0-9a-f]{8})\n")
_OWN = getattr(os, "O_NOFOLLOW", 0)
"""What a symlink leads to is another's, and is not written."""
_MOST = 256
_TRIES = 3
"""Another process may be writing it at this very moment."""


class KeptHead:
    """The file with the newest head of one database. It stays open between two looks; `close` it."""

    def __init__(self, database: Path) -> None:
        """Use the file next to `database`."""
        self._path = str(beside(database, ".head"))
        self._open: dict[int, int] = {}
        """The descriptors, by the flags they were opened with."""
        self._told = False

    def read(self) -> Head | None:
        """Return the kept number and hash; None if there is none, or no whole one."""
        for _ in range(_TRIES):
            found = self._content()
            if not found:
                return None
            line = _LINE.fullmatch(found)
            if line is not None and int(line[3], 16) == crc32(line[1]):
                return int(line[1][:20]), line[2].decode()
        return None

    def keep(self, head: Head, *, after: Head | None) -> None:
        """Keep `head`, unless another process has kept a newer one than `after`, which was kept before."""
        if head in (after, (0, head[1])):
            return
        present = self.read()
        if present is not None and present != after and present[0] > head[0]:
            return
        line = f"{head[0]:020d} {head[1]}".encode()
        try:
            os.write(self._opened(os.O_WRONLY | os.O_CREAT), line + b" %08x\n" % crc32(line))
        except OSError as error:
            if not self._told:
                self._told = True
                logger.warning("the newest head cannot be kept in %s: %s", self._path, error)

    def _content(self) -> bytes:
        with suppress(OSError):
            return os.read(self._opened(os.O_RDONLY), _MOST)
        return b""

    def _opened(self, flags: int) -> int:
        """Return a descriptor at the start of the file, which somebody may have removed since it was opened.

        Raises:
            OSError: it cannot be opened.
        """
        descriptor = self._open.get(flags)
        if descriptor is not None and os.fstat(descriptor).st_nlink == 0:
            os.close(self._open.pop(flags))
            descriptor = None
        if descriptor is None:
            descriptor = self._open[flags] = open_plain(self._path, flags | _OWN)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def close(self) -> None:
        """Close the file."""
        while self._open:
            os.close(self._open.popitem()[1])


def kept_head(database: Path) -> Head | None:
    """Return the head that is kept next to a database; see `KeptHead.read`."""
    kept = KeptHead(database)
    try:
        return kept.read()
    finally:
        kept.close()
