"""Where the database is."""

import re
from dataclasses import dataclass
from pathlib import Path

SCHEMES = ("postgresql://", "postgres://")
_PASSWORD = re.compile(r"^(\w+://[^:/@?]*):[^@/?]*@|([?&])password=[^&]*&?")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a database is, as it is written after `--db`: the absolute path of a file, or a server's URL."""

    written: str

    def __str__(self) -> str:
        """Return it as people and commands write it, without a password."""
        if self.file is not None:
            return self.written
        return _PASSWORD.sub(lambda found: f"{found[1]}@" if found[1] else found[2], self.written).rstrip("?&")

    @property
    def file(self) -> Path | None:
        """The path, or None if the database is not a file."""
        return None if self.written.startswith(SCHEMES) else Path(self.written)
