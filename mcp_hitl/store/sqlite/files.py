"""The database's files, which only their owner can use.

On POSIX they get mode 0600 in a folder of 0700. On Windows they are in the user's own profile, whose access list
already keeps other users out.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

_KEY_BYTES = 32


def make_private(path: Path) -> None:
    """Create the file, and its folder if that is missing, and remove all other accounts' rights to it.

    Raises:
        OSError: it cannot be created, or is not ours.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return
    except FileExistsError:
        # Not opened: closing any descriptor of a database would end this process's locks on it (POSIX),
        # those that SQLite holds included. https://www.sqlite.org/howtocorrupt.html, section 2.2
        if not path.is_file():
            raise
    for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        with suppress(FileNotFoundError):
            if os.name == "posix" and file.stat().st_mode & 0o077:
                file.chmod(0o600)


def open_plain(path: Path | str, flags: int) -> int:
    """Return a descriptor of a file. What is no file is not opened: on a pipe that would wait for ever.

    Raises:
        OSError: it cannot be opened, or is no file.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no file; remove it")
    return descriptor


def key_file(database: Path) -> Path:
    """Return where the key of a database is."""
    return database.with_name(database.name + ".key")


def read_key(database: Path) -> bytes:
    """Return what is in the file with the key.

    Raises:
        OSError: it cannot be read.
    """
    with os.fdopen(open_plain(key_file(database), os.O_RDONLY), "rb") as file:
        return file.read()


def shared_key(database: Path) -> bytes:
    """Return the 32-byte key in the file next to the database; the first process that needs it creates it.

    It is first written to a file of its own and then linked into place, so that no process ever reads half a key.

    Raises:
        OSError: it cannot be read or created.
    """
    path = key_file(database)
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        make_private(draft)
        draft.write_bytes(secrets.token_bytes(_KEY_BYTES))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    key = read_key(database)
    if len(key) != _KEY_BYTES:
        raise OSError(f"{path} does not have a key of {_KEY_BYTES} bytes; remove it, and a new one is created")
    return key
