"""Moves a desk from one database to another, row for row, in one transaction at the target.

Two databases cannot commit at the same instant. So the source says that its desk is moving before the target has it:
whatever happens in between, the desk never goes on in both, and the same command finishes the move.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from mcp_hitl.domain.values.errors import HitlError, Invalid, Unavailable, Uncertain
from mcp_hitl.store.moved import Moved, refuse_moved
from mcp_hitl.store.sql.database import Database
from mcp_hitl.store.sql.transaction import SqlTransaction
from mcp_hitl.store.view import View

Rows = Iterable[list[tuple[Any, ...]]]
"""Rows of a table, some at a time."""
Head = tuple[int, str]

TOGETHER = 500
"""Rows that are read together."""
_FIRST = ("approvals", "flows")
"""What rows of other tables refer to."""
_OTHERWISE = frozenset({"facts", "counter", "open_requests", "commits", "migrations"})
"""What is not copied row by row: what a new database has too, what triggers count, what belongs to one database."""
_OF_A_PLACE = frozenset({"boot", "inbox", "server", "moved"})
"""Facts about where a database is and who serves it."""
_ROW_ID = "rowid"


class End(Protocol):
    """One end of a move: a database that only this process uses."""

    @property
    def name(self) -> str:
        """What people call it, without a password."""
        ...

    @property
    def place(self) -> str:
        """What distinguishes the database from all others, however it is written."""
        ...

    @property
    def db(self) -> Database:
        """The connection."""
        ...

    @property
    def tx(self) -> SqlTransaction:
        """The transaction that `begin` began."""
        ...

    def begin(self) -> None:
        """Begin a transaction, and let nobody else write.

        Raises:
            Unavailable: another process uses the database, or it cannot be used.
            Invalid: there is none, or another version's.
        """
        ...

    def tables(self) -> Mapping[str, frozenset[str]]:
        """Return the columns of each table, without those that are computed; `rowid` if rows are numbered."""
        ...

    def rows(self, table: str, columns: list[str]) -> Iterator[list[tuple[Any, ...]]]:
        """Return the rows of a table, some at a time.

        Raises:
            Unavailable: they cannot be read.
        """
        ...

    def insert(self, table: str, columns: list[str], rows: Rows) -> None:
        """Insert rows; the numbers of later rows go on after theirs.

        Raises:
            Unavailable: they cannot be written.
        """
        ...

    def commit(self) -> None:
        """Commit.

        Raises:
            Unavailable: nothing was changed.
            Uncertain: it is not known whether anything was changed.
        """
        ...

    def guarded(self) -> AbstractContextManager[None]:
        """Turn errors of the database in the block into `Unavailable`."""
        ...

    def close(self) -> None:
        """Undo what was not committed, and let others use the database."""
        ...


def move(source: End, target: End, check: Callable[[View], None]) -> Head:
    """Move the desk, and return the number of its entries and their head. `check` raises if it finds a fault.

    Raises:
        Invalid: the target is the same database, or has something in it.
        Unavailable: nothing was moved; the message says why, and what to do.
        Uncertain: it is not known whether everything has arrived; the same command finds out.
    """
    if source.place == target.place:
        raise Invalid(f"{source.name} and {target.name} are the same database. Name another one to move to.")
    source.begin()
    moved = source.tx.facts.moved()
    if moved is not None and (moved.arrived or moved.to != target.name):
        refuse_moved(moved, source.name)
    _refuse_older_copy(source)
    head = source.tx.log.head()
    target.begin()
    if moved is None or target.tx.log.hash_at(head[0]) != head[1]:
        _copy(source, target, check)
        if target.tx.log.head() != head:
            raise Unavailable(f"What arrived in {target.name} is not what left {source.name}. Nothing was moved.")
        _hand_over(source, target)
        source.begin()
    _finish(source, target)
    return head


def _finish(source: End, target: End) -> None:
    try:
        _mark(source, Moved(target.name, arrived=True))
    except HitlError as error:
        raise Unavailable(
            f"The desk is in {target.name} now, and can be used there. But {source.name} could not note that ({error}) "
            "Run the same command again to finish."
        ) from error


def _hand_over(source: End, target: End) -> None:
    """Commit at both ends, the source first: it may say that its desk is gone too early, but never too late."""
    _mark(source, Moved(target.name, arrived=False))
    try:
        target.commit()
    except Uncertain:  # which is one that may have been
        raise
    except Unavailable:
        source.begin()
        _mark(source, None)
        raise


def _mark(source: End, moved: Moved | None) -> None:
    with source.guarded():
        source.tx.facts.set_moved(moved)
    source.commit()


def _refuse_older_copy(source: End) -> None:
    if source.tx.facts.restored() is not None or source.tx.log.lost() is not None:
        raise Unavailable(
            f"An older copy of {source.name} was put back, and nobody has confirmed it. First run: "
            f"mcp-hitl --db '{source.name}' restore --confirm"
        )


def _copy(source: End, target: End, check: Callable[[View], None]) -> None:
    theirs, ours = source.tables(), target.tables()
    _refuse_tables(source, target)
    with source.guarded():
        check(source.tx)
    _copy_facts(source.db, target)
    for table in sorted(theirs.keys() - _OTHERWISE, key=lambda name: (name not in _FIRST, name)):
        columns = sorted(theirs[table] & ours[table])
        pages = _Counted(source.rows(table, columns))
        target.insert(table, columns, pages)
        if pages.number != _number(target.db, table):
            raise Unavailable(f"Not every row of “{table}” could be written to {target.name}. Nothing was moved.")
    target.tx.begin()
    if target.tx.log.lost() is not None:
        raise Invalid(
            f"Beside {target.name} is the newest hash of another desk that was there ({target.name}.head). Remove "
            "that file if the other desk is no longer needed, or name another file."
        )
    with target.guarded():
        check(target.tx)


def _refuse_tables(source: End, target: End) -> None:
    theirs, ours = source.tables(), target.tables()
    for table in sorted(ours.keys() - _OTHERWISE):
        if _number(target.db, table):
            raise Invalid(f"{target.name} has something in it already. Name a database with nothing in it.")
    for table, columns in sorted(theirs.items()):
        if table in _OTHERWISE:
            continue
        if table not in ours:
            raise Invalid(
                f"{source.name} has the table “{table}”, which one of your programs made. Make the same table in "
                f"{target.name}, without rows, and move then."
            )
        if columns - {_ROW_ID} != ours[table] - {_ROW_ID}:
            raise Invalid(f"The table “{table}” has other columns in {target.name} than in {source.name}.")


def _copy_facts(source: Database, target: End) -> None:
    for name, value in source.execute("SELECT name, value FROM facts").fetchall():
        if name not in _OF_A_PLACE:
            target.db.execute("DELETE FROM facts WHERE name = ?", (name,))
            target.db.execute("INSERT INTO facts VALUES (?, ?)", (name, value))
    target.db.execute("UPDATE counter SET value = ?", source.execute("SELECT value FROM counter").fetchone())
    target.db.accept_place()


def _number(db: Database, table: str) -> int:
    return db.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]


class _Counted:
    """Pages of rows, and how many rows they have had."""

    def __init__(self, pages: Rows) -> None:
        self._pages = pages
        self.number = 0

    def __iter__(self) -> Iterator[list[tuple[Any, ...]]]:
        for page in self._pages:
            self.number += len(page)
            yield page
