"""Writes files that are there whole or not at all: a file is written under another name first, and then given its own.

A name that begins with a dot and ends with a random part, beside the file, is what a killed process left of it.
"""

import os
import stat
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PRIVATE = 0o600


def replace(path: Path, content: bytes) -> Path | None:
    """Write `content` to the file that `path` leads to. Returns the path of the copy of the old file.

    The mode stays. A new file is private to its owner. The copy has the mode of the old file.

    Raises:
        OSError: it cannot be written. The file was not changed.
    """
    file = Path(os.path.realpath(path))
    held = file.read_bytes() if file.exists() else None
    mode = stat.S_IMODE(file.stat().st_mode) if held is not None else _PRIVATE
    backup = None if held is None else _free(file)
    if held is not None and backup is not None:
        _place(backup, held, mode)
    _place(file, content, mode)
    return backup


@contextmanager
def created(file: Path) -> Generator[BinaryIO]:
    """Write a new file, private to its owner. It has its name once the block has ended without an error.

    Raises:
        OSError: it exists already, or cannot be written. Then there is nothing of it.
    """
    if os.path.lexists(file):
        raise FileExistsError(None, "it exists already")
    with _draft(file, _PRIVATE, _name_once) as stream:
        yield stream


def _free(file: Path) -> Path:
    """Return the first unused name for a copy. Copies are never overwritten."""
    number = 1
    while os.path.lexists(backup := file.with_name(f"{file.name}.bak{number if number > 1 else ''}")):
        number += 1
    return backup


def _place(file: Path, content: bytes, mode: int) -> None:
    with _draft(file, mode, os.replace) as stream:
        stream.write(content)


@contextmanager
def _draft(file: Path, mode: int, name: Callable[[str, Path], None]) -> Generator[BinaryIO]:
    """Have a draft written, and give it its name by `name(draft, file)`; remove it if anything fails."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if os.name == "posix":
            os.chmod(draft, mode)
        name(draft, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
    if os.name == "posix":
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _name_once(draft: str, file: Path) -> None:
    """Give a draft its name, unless something has that name meanwhile."""
    try:
        os.link(draft, file)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(file):
            raise FileExistsError(None, "it exists already") from None
        os.rename(draft, file)
    else:
        os.unlink(draft)
