"""The databases that tests run on: a new one of either sort, for each test that asks for it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import postgres

from mcp_hitl.config.location import Location

SORTS = ("sqlite", "postgres")


@contextmanager
def new_database(sort: str, folder: Path, name: str = "hitl") -> Generator[Location]:
    """A database with nothing in it: a file in `folder`, or one on this process's server."""
    if sort == "sqlite":
        yield Location(str(folder / f"{name}.db"))
    else:
        with postgres.lent() as url:
            yield Location(url)
