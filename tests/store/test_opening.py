"""Opening what a setting names."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_hitl.config import Location
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.opening import glance, is_held, open_store

pytestmark = pytest.mark.anyio


async def test_a_database_is_looked_at_where_it_was_opened(tmp_path: Path) -> None:
    here = Location(str(tmp_path / "hitl.db"))
    assert glance(here, lambda view: view.log.head()[0]) is None
    assert os.listdir(tmp_path) == []
    store = open_store(here)
    assert store.hold("inbox") and is_held(here, "inbox")
    await store.close()
    assert glance(here, lambda view: view.log.head()[0]) == 0
    assert not is_held(here, "inbox")


def looked(location: Location) -> object:
    return glance(location, lambda view: None)


def held(location: Location) -> bool:
    return is_held(location, "inbox")


@pytest.mark.parametrize("use", [open_store, looked, held])
def test_what_is_no_file_is_refused(use: Callable[[Location], object]) -> None:
    with pytest.raises(Unavailable, match="PostgreSQL is not supported yet"):
        use(Location("postgresql://host/approvals"))


async def test_a_key_that_cannot_be_used_is_the_stores_to_tell(tmp_path: Path) -> None:
    store = open_store(Location(str(tmp_path / "hitl.db")))
    (tmp_path / "hitl.db.key").write_bytes(b"short")
    with pytest.raises(Unavailable, match="The key file next to the database cannot be used"):
        store.shared_key()
    await store.close()
