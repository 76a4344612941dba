"""Opening what a setting names."""

import os
from collections.abc import Callable
from pathlib import Path

import postgres
import pytest

from mcp_hitl.config import Location
from mcp_hitl.domain.values.errors import Invalid, Unavailable
from mcp_hitl.store import opening
from mcp_hitl.store.opening import back_up, glance, is_held, open_store, open_to_read, put_back

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
def test_a_server_that_cannot_be_reached_is_named_without_its_password(use: Callable[[Location], object]) -> None:
    with pytest.raises(Unavailable, match=r"^The database postgresql://ana@127.0.0.1:1/desk cannot be") as error:
        use(Location("postgresql://ana:s3cret@127.0.0.1:1/desk"))
    assert "s3cret" not in str(error.value)


def no_library(name: str) -> None:
    """What `find_spec` says of a library that is not installed."""


@pytest.mark.parametrize("use", [open_store, looked, held])
def test_a_server_needs_the_extra(use: Callable[[Location], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_spec", no_library)
    with pytest.raises(Unavailable, match=r"install mcp-hitl\[postgres\]"):
        use(Location("postgresql://127.0.0.1:1/desk"))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://ana:s3cret@host:5433/desk?sslmode=require", "postgresql://ana@host:5433/desk?sslmode=require"),
        ("postgres://host/desk?user=ana&password=s3cret", "postgres://host/desk?user=ana"),
        ("postgresql://host/desk?password=s3cret&sslmode=require", "postgresql://host/desk?sslmode=require"),
        ("postgresql://ana@host/desk", "postgresql://ana@host/desk"),
        ("/home/ana/hitl.db", "/home/ana/hitl.db"),
    ],
)
def test_a_location_is_shown_without_its_password(written: str, shown: str) -> None:
    assert str(Location(written)) == shown


async def test_a_database_on_a_server_is_looked_at_where_it_was_opened() -> None:
    here = Location(postgres.empty_database())
    assert glance(here, lambda view: view.log.head()[0]) is None
    store = open_store(here)
    assert store.hold("inbox") and is_held(here, "inbox")
    await store.close()
    assert glance(here, lambda view: view.log.head()[0]) == 0
    assert not is_held(here, "inbox")
    for refuses in (
        lambda: open_to_read(here, Unavailable("no")),
        lambda: put_back(here, Path("copy"), lambda tx: None),
    ):
        with pytest.raises((Unavailable, Invalid)):
            refuses()
    with pytest.raises(Invalid, match="Back it up with pg_dump"):
        back_up(here, Path("copy"))
    with pytest.raises(Unavailable, match="set MCP_HITL_KEY to it for each of them"):
        store.shared_key()


async def test_a_key_that_cannot_be_used_is_the_stores_to_tell(tmp_path: Path) -> None:
    store = open_store(Location(str(tmp_path / "hitl.db")))
    (tmp_path / "hitl.db.key").write_bytes(b"short")
    with pytest.raises(Unavailable, match="The key file next to the database cannot be used"):
        store.shared_key()
    await store.close()
