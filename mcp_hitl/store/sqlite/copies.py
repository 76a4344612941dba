"""Copies a database to a file, and puts a copy back in its place."""

import os
import secrets
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from mcp_hitl.domain.values.errors import Invalid, Unavailable
from mcp_hitl.store.sql.transaction import SqlTransaction
from mcp_hitl.store.sqlite.connection import APPLICATION_ID, check_version, connect, migrate
from mcp_hitl.store.sqlite.errors import is_busy
from mcp_hitl.store.sqlite.files import make_private
from mcp_hitl.store.sqlite.kept_head import Head, kept_head
from mcp_hitl.store.sqlite.place import beside, refuse_second_name

T = TypeVar("T")

_BUSY_MS = 2_000


def back_up(path: Path, file: Path) -> Head:
    """Copy the database at `path`, as it is at one instant, to `file`. Return the copy's newest number and hash.

    The copy appears under its name when it is whole.

    Raises:
        Invalid: the file exists, or cannot be made.
        Unavailable: the database cannot be read.
    """
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise Invalid(f"{file} cannot be written: {error.strerror}. Name a file that does not exist yet.") from error
    try:
        with _draft(file) as draft:
            with closing(connect(path)) as source, closing(connect(draft)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, whatever it is opened with
                head = SqlTransaction(copy).log.head()
            draft.replace(file)
        return head
    except BaseException as error:
        file.unlink(missing_ok=True)
        if isinstance(error, OSError | sqlite3.Error):
            raise Unavailable(f"The copy could not be made: {error}. Nothing is left of it.") from error
        raise


def put_back(path: Path, copy: Path, work: Callable[[SqlTransaction], T]) -> tuple[T, Path | None]:
    """Replace what is in the database at `path` by `copy`, in which `work` has changed what it has to, in one step.

    Return what `work` returned; and where the file is now that was there before, if it was too damaged to be replaced.

    Raises:
        Invalid: `copy` is no intact copy of a database of ours.
        Unavailable: the database is in use, or cannot be written. Nothing was changed.
    """
    path = Path(os.path.realpath(path))
    try:
        refuse_second_name(path)
        with _draft(path) as draft:
            _take(copy, draft)
            result = _changed(draft, kept_head(path), work)
            aside = _set_aside_if_damaged(path)
            try:
                _replace(path, draft)
            except BaseException:
                if aside is not None:
                    _rename(aside, path)
                raise
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"{copy} could not be put back: {error}. Nothing was changed.") from error
    return result, aside


def _take(copy: Path, draft: Path) -> None:
    """Copy `copy` to `draft` if it is whole and ours."""
    wrong = None
    try:
        with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as source:
            if source.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                wrong = "is not a copy of a database of mcp-hitl"
            elif source.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
                wrong = "is damaged"
            else:
                check_version(source)
                with closing(connect(draft)) as target:
                    source.backup(target)
    except sqlite3.Error as error:
        wrong = f"cannot be read: {error}"
    if wrong is not None:
        raise Invalid(f"{copy} {wrong}. Nothing was changed.")


def _changed(draft: Path, kept: Head | None, work: Callable[[SqlTransaction], T]) -> T:
    with closing(connect(draft)) as db:
        migrate(db)
        tx = SqlTransaction(db)
        tx.log.kept = kept
        db.execute("BEGIN IMMEDIATE")
        result = work(tx)
        tx.finish()
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = DELETE")
    return result


def _set_aside_if_damaged(path: Path) -> Path | None:
    """Rename a file that SQLite cannot open, with what is beside it; whoever still has it open notices."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(connect(path)) as db:
            db.execute("SELECT count(*) FROM sqlite_schema")
        return None
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
    except Unavailable as error:
        cause = error.__cause__
        if getattr(cause, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
    aside = beside(path, f".damaged-{secrets.token_hex(4)}")
    _rename(path, aside)
    return aside


def _rename(path: Path, new: Path) -> None:
    """Rename a database, with what is beside it."""
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            beside(path, suffix).replace(beside(new, suffix))


def _replace(path: Path, draft: Path) -> None:
    """Copy `draft` over the file at `path`, in one transaction of SQLite's, while nobody has it open."""
    make_private(path)
    with closing(connect(path)) as db, closing(connect(draft)) as source:
        keep_alone(db, path, "restore")
        source.backup(db)


def keep_alone(db: sqlite3.Connection, path: Path, what: str) -> None:
    """Keep everybody else from the file until `db` is closed. `what` the person then does again is for the error.

    Raises:
        Unavailable: somebody has it open.
    """
    db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    try:
        # It succeeds only for the one who has the file alone, and who then keeps it.
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
        raise Unavailable(
            f"The database {path} is in use. Stop every server and every program that uses it, then {what} again. "
            "Nothing was changed."
        ) from error


@contextmanager
def _draft(file: Path) -> Generator[Path]:
    """A private file beside `file`, which is gone after the block."""
    draft = beside(file, f".draft-{secrets.token_hex(8)}")
    try:
        make_private(draft)
        yield draft
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            beside(draft, suffix).unlink(missing_ok=True)
