"""What one process at a time has hold of, and looking whether one has."""

import sys
from pathlib import Path

import pytest

from mcp_hitl.store.sqlite.locks import Locks, held_beside


def test_each_takes_a_lock_of_its_own_and_what_was_freed_is_taken_again(tmp_path: Path) -> None:
    one, other = Locks(tmp_path / "hitl.db"), Locks(tmp_path / "hitl.db")
    assert [one.hold_one_of("flows"), one.hold_one_of("flows"), other.hold_one_of("flows")] == [
        "flows-1",
        "flows-2",
        "flows-3",
    ]
    one.let_go("flows-2")
    assert other.hold_one_of("flows") == "flows-2"
    one.close()
    assert not other.is_held("flows-1") and other.is_held("flows-2")
    other.close()


def test_what_one_has_hold_of_is_held_until_it_lets_go(tmp_path: Path) -> None:
    one, other = Locks(tmp_path / "hitl.db"), Locks(tmp_path / "hitl.db")
    assert one.hold("inbox") and one.hold("inbox") and not other.hold("inbox")
    assert one.is_held("inbox") and other.is_held("inbox") and held_beside(tmp_path / "hitl.db", "inbox")
    one.let_go("inbox")
    assert not one.is_held("inbox") and not other.is_held("inbox")
    assert other.hold("inbox")
    other.close()


def test_looking_makes_no_file(tmp_path: Path) -> None:
    assert not Locks(tmp_path / "hitl.db").is_held("inbox")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no shared locks of this sort")
def test_those_who_look_at_the_same_time_do_not_take_each_other_for_a_holder(tmp_path: Path) -> None:
    import fcntl

    locks = Locks(tmp_path / "hitl.db")
    assert locks.hold("inbox")
    locks.let_go("inbox")
    with (tmp_path / "hitl.db.inbox").open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not locks.is_held("inbox")
