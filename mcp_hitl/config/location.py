"""Where the database is."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Location:
    """Where a database is, as it is written after `--db`: the absolute path of a file, or a URL."""

    written: str

    def __str__(self) -> str:
        """Return it as people and commands write it."""
        return self.written

    @property
    def file(self) -> Path | None:
        """The path, or None if the database is not a file."""
        return None if "://" in self.written else Path(self.written)
