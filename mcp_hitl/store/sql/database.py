"""What the statements need of a connection, and the words in which databases differ."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Rows(Protocol):
    """The rows of one statement."""

    @property
    def rowcount(self) -> int:
        """The number of rows that a change has changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Return the rows that are left, one by one."""
        ...


class Database(Protocol):
    """A connection within a transaction."""

    @property
    def words(self) -> "Words":
        """The words of this database."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /) -> Rows:
        """Run a statement with `?`, `?1` or `:name` for each value. `INDEXED BY` is a hint that may be passed over."""
        ...

    def accept_place(self) -> None:
        """Take the place where the database is now for its own, wherever it was before."""
        ...

    def fetched(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a statement. Bytes that are no text come as lone surrogates: one row hides no other."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words in which databases differ."""

    name: str
    """The field of `Statement` that is in the words of this database."""
    rows_as_list: str
    """A JSON list of lists of the columns at `{}`, as text, of all rows that are selected."""
    fault: Callable[["Database"], str | None]
    """Returns the first thing in which the database disagrees with itself, or with the schema of this program."""


def in_rows(number: int, width: int) -> str:
    """Return what stands after `VALUES` for so many rows of so many values."""
    return ", ".join([f"({', '.join('?' * width)})"] * number)


def places(values: Collection[object]) -> str:
    """Return what stands within `IN (…)` or `VALUES (…)` for these values; a list without any has no text in it."""
    return ", ".join("?" * len(values)) or "SELECT '' WHERE 1 = 0"
