"""`migrate` as a process: what it prints, and what it refuses."""

from pathlib import Path

import postgres
from asked import ask
from terminal import run
from wires import http_server


def test_a_desk_moves_to_a_server_and_back_and_each_old_place_names_the_new_one(tmp_path: Path) -> None:
    file, url, back = tmp_path / "from.db", postgres.empty_database(), tmp_path / "back.db"
    approval_id = ask(file)
    head = run(file, "audit", "head").stdout
    for source, target in ((str(file), url), (url, str(back))):
        done = run(None, "migrate", source, target)
        assert (done.returncode, done.stdout) == (0, head), done.stderr
        assert f"The desk is in {target} now" in done.stderr
        left = run(None, "--db", source, "pending")
        assert left.returncode == 2 and f"was moved to {target}" in left.stderr
    shown = run(back, "pending")
    assert approval_id in shown.stdout
    assert run(back, "audit", "verify").returncode == 0


def test_t43_a_desk_with_a_running_server_does_not_move(tmp_path: Path) -> None:
    file = tmp_path / "hitl.db"
    with http_server(file):
        approval_id = ask(file)
        refused = run(None, "migrate", str(file), str(tmp_path / "to.db"))
        assert refused.returncode == 2 and "Stop every server" in refused.stderr
    assert not (tmp_path / "to.db").exists()
    assert approval_id in run(file, "pending").stdout


def test_a_place_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    for source, target, why in (
        ("none.db", "to.db", "nothing to move"),
        ("mysql://host/db", "to.db", "must be the path of a file"),
        ("none.db", "none.db", "are the same database"),
    ):
        refused = run(None, "migrate", *(name if "://" in name else str(tmp_path / name) for name in (source, target)))
        assert refused.returncode == 2 and why in refused.stderr
    assert list(tmp_path.iterdir()) == []
