"""Opens or looks at the database that a setting names. Only this module chooses between databases."""

import os
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mcp_hitl.config.location import Location
from mcp_hitl.domain.values.errors import Invalid, Unavailable
from mcp_hitl.domain.values.text import visible
from mcp_hitl.store.moved import refuse_moved
from mcp_hitl.store.server_state import ServerState
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

if TYPE_CHECKING:
    from mcp_hitl.store.moving import End

T = TypeVar("T")


def open_store(location: Location) -> Store:
    """Open a database. Create it and migrate its schema if necessary.

    Raises:
        Unavailable: it cannot be opened or created, is another program's, or belongs to a newer version.
    """
    if location.file is None:
        _check_library()
        from mcp_hitl.store.postgres import PostgresStore

        return PostgresStore(location.written)
    from mcp_hitl.store.sqlite import SqliteStore

    return SqliteStore(location.file)


def open_to_read(location: Location, unopened: Unavailable) -> Store:
    """Open a database that `open_store` could not open, to read only, if writing alone is what fails.

    Raises:
        Unavailable: it cannot be read either; this is `unopened`.
    """
    if (file := location.file) is None:
        raise unopened
    from mcp_hitl.store.sqlite.errors import cannot_write
    from mcp_hitl.store.sqlite.unwritable import UnwritableStore

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
    if (file := location.file) is None:
        _check_library()
        from mcp_hitl.store.postgres.looking import look

        return look(location.written, work)
    from mcp_hitl.store.sqlite import read_only

    def looked(view: View) -> T:
        refuse_moved(view.facts.moved(), str(location))
        return work(view)

    try:
        return read_only.glance(file, looked) if file.exists() else None
    except OSError as error:
        raise Unavailable(f"{visible(str(location))} cannot be reached: {error.strerror}.") from error


def back_up(location: Location, file: Path) -> tuple[int, str]:
    """Write a consistent copy of a database to `file`, which must not exist, whoever uses the database meanwhile.

    Return the number of its entries and their head.

    Raises:
        Invalid: the file exists, or cannot be made; or another program does this for such a database.
        Unavailable: the database cannot be read.
    """
    if (place := location.file) is None:
        raise Invalid("This database is on a PostgreSQL server. Back it up with pg_dump; docs/deploy.md says how.")
    # Imported late: few processes ever make a copy.
    from mcp_hitl.store.sqlite import copies

    return copies.back_up(Path(os.path.realpath(place)), file)


def put_back(location: Location, copy: Path, work: Callable[[Transaction], T]) -> tuple[T, Path | None]:
    """Replace what is in a database by a copy, in which `work` has changed what it has to, in one step.

    Return what `work` returned; and where the database is now that was there, if it was too damaged to be replaced.

    Raises:
        Invalid: `copy` is no intact copy of a database of ours.
        Unavailable: the database is in use, or cannot be written. Nothing was changed.
    """
    if (file := location.file) is None:
        raise Invalid("This database is on a PostgreSQL server. Restore it with pg_restore; docs/deploy.md says how.")
    from mcp_hitl.store.sqlite.copies import put_back

    return put_back(file, copy, work)


def move(source: Location, target: Location, check: Callable[[View], None]) -> tuple[int, str]:
    """Move a desk from one database to another; see `moving.move`."""
    # Imported late: few desks ever move.
    from mcp_hitl.store import moving

    with closing(_end(source, source=True)) as one, closing(_end(target, source=False)) as other:
        with one.guarded(), other.guarded():
            return moving.move(one, other, check)


def state_of_server(location: Location) -> ServerState | None:
    """Return what the server of a database says about itself; None if the database is a file.

    Raises:
        Unavailable: it cannot be reached.
    """
    if location.file is not None:
        return None
    _check_library()
    from mcp_hitl.store.postgres.state import state_of

    return state_of(location.written)


def is_held(location: Location, name: str) -> bool:
    """Return True if a process holds the lock `name`. The database need not be open, and nothing is created."""
    if (file := location.file) is None:
        _check_library()
        from mcp_hitl.store.postgres.looking import is_held

        return is_held(location.written, name)
    from mcp_hitl.store.sqlite.locks import held_beside

    return held_beside(file, name)


def machine(location: Location) -> str | None:
    """See `Store.machine`. The database need not be open."""
    if location.file is not None:
        return None
    from mcp_hitl.store.postgres.machine import this_machine

    return this_machine()


def _end(location: Location, *, source: bool) -> "End":
    if location.file is None:
        _check_library()
        from mcp_hitl.store.postgres.end import PostgresEnd

        return PostgresEnd(location, source=source)
    from mcp_hitl.store.sqlite.end import SqliteEnd

    return SqliteEnd(location, source=source)


def _check_library() -> None:
    if find_spec("psycopg") is None:
        raise Unavailable(
            "A database on a PostgreSQL server needs the extra “postgres”: install mcp-hitl[postgres], "
            "for example with “uv tool install 'mcp-hitl[postgres]'”."
        )
