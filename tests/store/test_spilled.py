"""A mapping that stays out of memory is a mapping all the same."""

import sqlite3

import pytest

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.spilled import Spilled


def test_what_is_held_is_found_changed_and_dropped() -> None:
    with Spilled() as held:
        held["b"], held["a"], held["ü"] = "1", "2", ""
        held["b"] = "3"
        assert (dict(held), len(held), "x" in held, held.get("x")) == ({"a": "2", "b": "3", "ü": ""}, 3, False, None)
        del held["a"]
        assert [*held] == ["b", "ü"]
        for drop in (lambda: held["a"], lambda: held.pop("a")):
            with pytest.raises(KeyError):
                drop()


def test_only_texts_are_held() -> None:
    with Spilled() as held:
        for name in (5, ["apr"], None):
            with pytest.raises(TypeError):
                held[name] = "1"  # type: ignore[index] # pyright: ignore[reportArgumentType]
        assert "5" not in held


def test_where_there_is_no_room_that_is_said() -> None:
    with Spilled() as held:
        db: sqlite3.Connection = held._db  # pyright: ignore[reportPrivateUsage]
        db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(Unavailable, match="temporary file"):
            for number in range(1_000):
                held[str(number)] = "x" * 100
