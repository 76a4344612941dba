"""`backup` and `restore`: a copy of the running database, and what is held after one was put back."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from asked import AGENT, ask, look, on_desk
from terminal import at_terminal, run
from wires import http_server

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.errors import Paused, Unavailable
from mcp_hitl.store.sqlite import SqliteStore, copies

ANA = Principal("os:ana", Established.OS_USER)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A path where no database is yet."""
    return tmp_path / "hitl.db"


def approved(database: Path) -> Approval:
    """An action that a person has approved."""
    approval_id = ask(database, "action", {"send": "it"})

    async def approve(desk: Desk) -> Approval:
        shown = Shown.of(await desk.approvals.get(AGENT, approval_id))
        return await desk.decisions.decide(ANA, shown, Verdict.APPROVE, assurance=Assurance.LOCAL)

    return on_desk(database, approve)


def redeem(database: Path, ready: Approval) -> Approval:
    async def use(desk: Desk) -> Approval:
        return await desk.approvals.redeem(AGENT, ready.id, ready.digest)

    return on_desk(database, use)


def restore(database: Path, copy: Path, *, typed: str = "y") -> tuple[int, str]:
    """Put a copy back at a terminal; the exit code, and what was shown."""
    with at_terminal(database, "restore", str(copy)) as person:
        person.until("Replace ")
        person.answer("[y/N]: ", typed)
        return person.finish(), " ".join(person.shown.split())


def confirm(database: Path, typed: str = "y") -> tuple[int, str]:
    with at_terminal(database, "restore", "--confirm") as person:
        person.answer("[y/N]: ", typed)
        return person.finish(), " ".join(person.shown.split())


def events(database: Path) -> list[tuple[str, str]]:
    entries = json.loads(run(database, "audit", "list", "--json").stdout)
    return [(entry["event"], entry["actor"].partition(":")[0]) for entry in entries]


def test_a_running_database_is_copied_with_its_head(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with http_server(database):
        ready = approved(database)
        done = run(database, "backup", str(copy))
        head = run(database, "audit", "head").stdout
    assert (done.returncode, done.stdout) == (0, head)
    assert os.name != "posix" or copy.stat().st_mode & 0o777 == 0o600
    assert look(copy, ready.id) == look(database, ready.id)
    assert run(copy, "audit", "verify").returncode == 0
    assert [path.name for path in tmp_path.iterdir() if "draft" in path.name] == []
    again = run(database, "backup", str(copy))
    assert again.returncode == 2 and "Name a file that does not exist yet" in again.stderr


def test_t43_what_a_copy_holds_is_used_only_after_a_person_has_confirmed_it(database: Path, tmp_path: Path) -> None:
    ready = approved(database)
    assert run(database, "backup", str(tmp_path / "copy.db")).returncode == 0
    redeem(database, ready)
    alone = run(database, "restore", str(tmp_path / "copy.db"))
    assert alone.returncode == 2 and redeemed(database, ready)
    assert restore(database, tmp_path / "copy.db", typed="n")[0] == 1 and redeemed(database, ready)
    code, shown = restore(database, tmp_path / "copy.db")
    assert code == 0 and "was put back: 4 entries, intact." in shown
    assert events(database)[-1] == ("restored", "os") and not redeemed(database, ready)
    with pytest.raises(Paused, match=r"An older copy of this database was put back"):
        redeem(database, ready)
    found = json.loads(run(database, "doctor", "--json").stdout)["findings"]
    assert "older-copy" in [one["code"] for one in found]
    with http_server(database) as (url, _):
        state = httpx2.get(url.removesuffix("/mcp") + "/readyz")
    assert (state.status_code, state.json()["status"]) == (503, "held")
    assert confirm(database, "n")[0] == 1
    code, shown = confirm(database)
    assert code == 0 and "before, it had at least 4" in shown
    assert redeem(database, ready).outcome.state is OutcomeState.RUNNING
    assert [event for event, _ in events(database)[3:]] == ["restored", "restore-confirmed", "started"]
    assert run(database, "audit", "verify").returncode == 0


def redeemed(database: Path, ready: Approval) -> bool:
    return look(database, ready.id).outcome.state is OutcomeState.RUNNING


def test_t43_a_copy_is_held_on_another_machine_too(database: Path, tmp_path: Path) -> None:
    ready = approved(database)
    assert run(database, "backup", str(tmp_path / "copy.db")).returncode == 0
    elsewhere = tmp_path / "elsewhere" / "hitl.db"
    assert restore(elsewhere, tmp_path / "copy.db")[0] == 0
    with pytest.raises(Paused):
        redeem(elsewhere, ready)
    assert confirm(elsewhere)[0] == 0
    redeem(elsewhere, ready)


def test_a_database_that_a_server_uses_is_not_restored(database: Path, tmp_path: Path) -> None:
    ready = approved(database)
    assert run(database, "backup", str(tmp_path / "copy.db")).returncode == 0
    redeem(database, ready)
    with http_server(database):
        code, shown = restore(database, tmp_path / "copy.db")
        assert code == 2 and "is in use. Stop every server" in shown
        assert redeemed(database, ready)
    assert [path.name for path in tmp_path.iterdir() if "draft" in path.name] == []


def test_a_damaged_database_is_set_aside(database: Path, tmp_path: Path) -> None:
    ready = approved(database)
    assert run(database, "backup", str(tmp_path / "copy.db")).returncode == 0
    database.write_bytes(b"No database any more. " * 100)
    code, shown = restore(database, tmp_path / "copy.db")
    assert code == 0 and "The damaged file that was there is now " in shown
    [aside] = tmp_path.glob("hitl.db.damaged-*")
    assert aside.read_bytes().startswith(b"No database any more.")
    with pytest.raises(Paused):
        redeem(database, ready)


def test_a_damaged_database_is_where_it_was_if_the_copy_cannot_be_put_there(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved(database)
    assert run(database, "backup", str(tmp_path / "copy.db")).returncode == 0
    damaged = b"No database any more. " * 100
    database.write_bytes(damaged)

    def full(path: Path, draft: Path) -> None:
        path.write_bytes(b"half of it")
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(copies, "_replace", full)
    with pytest.raises(Unavailable, match=r"disk is full\. Nothing was changed\.$"):
        copies.put_back(database, tmp_path / "copy.db", lambda tx: None)
    assert database.read_bytes() == damaged and not [*tmp_path.glob("*damaged*")]


@pytest.mark.parametrize("content", [b"", b"Notes, and no database. " * 99, None, b"another"])
def test_what_is_no_copy_of_ours_is_refused(database: Path, tmp_path: Path, content: bytes | None) -> None:
    ready = approved(database)
    copy = tmp_path / "copy.db"
    if content == b"another":
        with closing(sqlite3.connect(copy)) as db:
            db.execute("CREATE TABLE t (x)")
    elif content is not None:
        copy.write_bytes(content)
    code, shown = restore(database, copy)
    assert code == 2 and "Nothing was changed." in shown
    assert redeem(database, ready).outcome.state is OutcomeState.RUNNING


def test_a_copy_of_an_older_version_is_brought_up_to_date(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_hitl.store.sqlite import connection
    from mcp_hitl.store.sqlite.schema import MIGRATIONS

    with monkeypatch.context() as earlier:
        earlier.setattr(connection, "MIGRATIONS", MIGRATIONS[:1])
        on_desk(tmp_path / "old.db", _nothing)
    assert restore(database, tmp_path / "old.db")[0] == 0
    assert SqliteStore(database).gone() is None


async def _nothing(desk: Desk) -> None:
    pass


def test_nothing_is_confirmed_where_nothing_was_put_back(database: Path) -> None:
    approved(database)
    with at_terminal(database, "restore", "--confirm") as person:
        assert person.finish() == 0
    assert "there is nothing to confirm" in person.shown
    assert run(database, "restore").returncode == 2
