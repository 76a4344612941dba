"""Opens or looks at the database that a setting names. Only this module chooses between databases."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mcp_hitl.config.location import Location
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.domain.values.text import visible
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

T = TypeVar("T")


def open_store(location: Location) -> Store:
    """Open a database. Create it and migrate its schema if necessary.

    Raises:
        Unavailable: it cannot be opened or created, is another program's, or belongs to a newer version.
    """
    from mcp_hitl.store.sqlite import SqliteStore

    return SqliteStore(_file_of(location))


def open_to_read(location: Location, unopened: Unavailable) -> Store:
    """Open a database that `open_store` could not open, to read only, if writing alone is what fails.

    Raises:
        Unavailable: it cannot be read either; this is `unopened`.
    """
    from mcp_hitl.store.sqlite.errors import cannot_write
    from mcp_hitl.store.sqlite.unwritable import UnwritableStore

    file = _file_of(location)
    try:
        if cannot_write(unopened.__cause__) and file.exists():
            return UnwritableStore(file)
    except (Unavailable, OSError):
        pass
    raise unopened


def glance(location: Location, work: Callable[[View], T]) -> T | None:
    """Return the result of `work` on one snapshot, without changing anything; None if there is no database yet.

    Raises:
        Unavailable: it cannot be read, is another program's, or is older or newer than this program.
    """
    # Imported late: only `doctor` looks this way.
    from mcp_hitl.store.sqlite import read_only

    file = _file_of(location)
    try:
        return read_only.glance(file, work) if file.exists() else None
    except OSError as error:
        raise Unavailable(f"{visible(str(location))} cannot be reached: {error.strerror}.") from error


def put_back(location: Location, copy: Path, work: Callable[[Transaction], T]) -> tuple[T, Path | None]:
    """Replace what is in a database by a copy, in which `work` has changed what it has to, in one step.

    Return what `work` returned; and where the database is now that was there, if it was too damaged to be replaced.

    Raises:
        Invalid: `copy` is no intact copy of a database of ours.
        Unavailable: the database is in use, or cannot be written. Nothing was changed.
    """
    from mcp_hitl.store.sqlite.copies import put_back

    return put_back(_file_of(location), copy, work)


def is_held(location: Location, name: str) -> bool:
    """Return True if a process holds the lock `name`. The database need not be open, and nothing is created."""
    from mcp_hitl.store.sqlite.locks import held_beside

    return held_beside(_file_of(location), name)


def _file_of(location: Location) -> Path:
    if location.file is None:
        raise Unavailable("The database must be the path of a file. PostgreSQL is not supported yet.")
    return location.file
