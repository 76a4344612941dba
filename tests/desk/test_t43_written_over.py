"""An older copy is written over the open file, as `cp` does: the path leads to the same file, and its log goes on."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from asked import AGENT

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.errors import Paused, Unavailable, Uncertain
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

ANA = Principal("os:ana", Established.OS_USER)
HELD = r"An older copy of this database was put back"


def at(database: Path) -> Desk:
    return Desk(SqliteStore(database), effects=EFFECTS)


async def approve(desk: Desk, **payload: object) -> Approval:
    asked = await desk.approvals.submit(AGENT, "action", payload or {"do": "it"})
    return await desk.decisions.decide(ANA, Shown.of(asked), Verdict.APPROVE, assurance=Assurance.LOCAL)


def write_over(database: Path, copy: Path) -> None:
    """What `cp copy database` does."""
    with copy.open("rb") as source, database.open("r+b") as target:
        target.truncate(0)
        shutil.copyfileobj(source, target)


async def used_since(database: Path) -> tuple[Desk, Approval]:
    """An approval that was used after `old.db` was made, and the desk of the server that runs now.

    Its log has the newest entry, and not the page that says that the approval was used.
    """
    desk = at(database)
    ready = await approve(desk)
    for number in range(8):
        await approve(desk, number=number)
    await desk.store.close()
    shutil.copy(database, database.with_name("old.db"))
    desk = at(database)
    await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    await desk.store.close()
    desk = at(database)
    await desk.stops.pause(ANA, "another-kind")
    return desk, ready


async def crashed(database: Path, desk: Desk) -> Path:
    """The files as a crash of the server leaves them, and `old.db`, in another folder."""
    left = database.parent / "left"
    await anyio.to_thread.run_sync(shutil.copytree, database.parent, left)
    await desk.store.close()
    return left / database.name


@pytest.mark.parametrize("case", ["the server runs", "another process begins", "a crash left the log"])
async def test_t43_a_copy_written_over_the_open_file_lets_nothing_act_again(tmp_path: Path, case: str) -> None:
    database = tmp_path / "folder" / "hitl.db"
    desk, ready = await used_since(database)
    if case == "a crash left the log":
        database = await crashed(database, desk)
    await anyio.to_thread.run_sync(write_over, database, database.with_name("old.db"))
    after = desk if case == "the server runs" else at(database)
    with pytest.raises(Paused, match=HELD):
        await after.approvals.redeem(AGENT, ready.id, ready.digest)
    assert await after.copies.older() is not None
    await after.copies.notice()
    assert (await after.evidence.entries())[-1].entry.event is Event.RESTORED
    await after.store.close()
    if after is not desk:
        await desk.store.close()
    again = at(database)
    with pytest.raises(Paused, match=HELD):
        await again.approvals.redeem(AGENT, ready.id, ready.digest)
    assert await again.copies.confirm(ANA) and await again.copies.older() is None
    assert (await approve(again, new=True)).outcome.state is OutcomeState.NONE
    await again.copies.notice()
    assert await again.copies.older() is None
    await again.store.close()


async def test_t43_another_database_written_over_the_open_file_lets_nothing_act(tmp_path: Path) -> None:
    desk, ready = await used_since(tmp_path / "hitl.db")
    other = Path(shutil.copy(tmp_path / "hitl.db", tmp_path / "other.db"))
    with closing(sqlite3.connect(other, isolation_level=None)) as db:
        db.execute("UPDATE commits SET mark = 'mcp-hitl ' || lower(hex(randomblob(16))) || printf(' %020d', 99)")
    await anyio.to_thread.run_sync(write_over, tmp_path / "hitl.db", other)
    with pytest.raises(Paused, match=HELD):
        await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    await desk.store.close()


@pytest.mark.parametrize("by", ["wal_checkpoint(PASSIVE)", "wal_checkpoint(RESTART)", "wal_checkpoint(TRUNCATE)", "-"])
async def test_t43_what_sqlite_itself_does_to_the_file_raises_no_alarm(tmp_path: Path, by: str) -> None:
    desk, other = at(tmp_path / "hitl.db"), at(tmp_path / "hitl.db")
    for number in range(6):
        ready = await approve(desk if number % 2 else other, number=number)
        with closing(sqlite3.connect(tmp_path / "hitl.db", isolation_level=None)) as shell:
            shell.execute("CREATE TABLE IF NOT EXISTS mine (x)")
            shell.execute("INSERT INTO mine VALUES (randomblob(9000))")
            shell.execute("VACUUM" if by == "-" else f"PRAGMA {by}")
            for one in (desk, other):
                assert await one.copies.older() is None
            await approve(desk, again=number)
            assert await other.copies.older() is None
        await other.approvals.redeem(AGENT, ready.id, ready.digest)
    await other.store.close()
    await desk.store.close()
    desk = at(tmp_path / "hitl.db")
    await approve(desk, at="the end")
    assert await desk.copies.older() is None
    await desk.store.close()


async def test_t43_a_change_to_a_log_that_was_emptied_is_not_told_as_made(tmp_path: Path) -> None:
    desk = at(tmp_path / "hitl.db")
    ready = await approve(desk)
    with (tmp_path / "hitl.db-wal").open("r+b") as log:
        log.truncate(0)
    with pytest.raises(Uncertain, match=r"The write-ahead log .* was overwritten .* look before you repeat it"):
        await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    with pytest.raises(Unavailable, match=r"was overwritten by another program .* Nothing was changed"):
        await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    await desk.store.close()
