"""Replaces a file atomically and keeps a copy of the old one."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def replace(path: Path, content: bytes) -> Path | None:
    """Write `content` to the file that `path` leads to. Returns the path of the copy of the old file.

    The mode stays. A new file is private to its owner. The copy has the mode of the old file.

    Raises:
        OSError: it cannot be written. The file was not changed.
    """
    file = Path(os.path.realpath(path))
    held = file.read_bytes() if file.exists() else None
    mode = stat.S_IMODE(file.stat().st_mode) if held is not None else 0o600
    backup = None if held is None else _free(file)
    if held is not None and backup is not None:
        _place(backup, held, mode)
    _place(file, content, mode)
    return backup


def _free(file: Path) -> Path:
    """Return the first unused name for a copy. Copies are never overwritten."""
    number = 1
    while os.path.lexists(backup := file.with_name(f"{file.name}.bak{number if number > 1 else ''}")):
        number += 1
    return backup


def _place(file: Path, content: bytes, mode: int) -> None:
    descriptor, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if os.name == "posix":
            os.chmod(draft, mode)
        os.replace(draft, file)
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
