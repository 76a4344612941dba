"""An older copy of the database is put back, however: nothing acts until a person has confirmed it."""

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from asked import AGENT

from mcp_hitl.desk import Desk
from mcp_hitl.desk.timekeeping import system_clock
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState, Status
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.errors import Paused
from mcp_hitl.engine.claims import LEASE
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import runner_of
from mcp_hitl.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

ANA = Principal("os:ana", Established.OS_USER)


def at(database: Path, *, later: timedelta = timedelta()) -> Desk:
    return Desk(SqliteStore(database), effects=EFFECTS, clock=lambda: system_clock() + later)


async def approve(desk: Desk, kind: str = "action", **payload: object) -> Approval:
    asked = await desk.approvals.submit(AGENT, kind, payload or {"do": "it"})
    return await desk.decisions.decide(ANA, Shown.of(asked), Verdict.APPROVE, assurance=Assurance.LOCAL)


async def used_and_put_back(database: Path, kind: str = "action", **payload: object) -> Approval:
    """An approval that was used after its database was copied, and the copy in the database's place."""
    desk = at(database)
    ready = await approve(desk, kind, **payload)
    copy = database.with_name("copy.db")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    if kind == "action":
        await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    else:
        later = at(database, later=LEASE)
        assert await runner_of(later).catch_up() == 1
        await later.store.close()
    await desk.store.close()
    await anyio.to_thread.run_sync(shutil.copy, copy, database)
    return ready


async def events(desk: Desk) -> list[tuple[Event, str]]:
    return [(one.entry.event, one.entry.actor) for one in await desk.evidence.entries()]


async def test_t43_what_was_approved_before_is_not_redeemed_again_until_a_person_confirms(tmp_path: Path) -> None:
    ready = await used_and_put_back(tmp_path / "hitl.db")
    desk = at(tmp_path / "hitl.db")
    await desk.check_policy()
    with pytest.raises(Paused, match=r"An older copy of this database was put back"):
        await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    assert await desk.copies.older() == 4
    assert (await events(desk))[-1] == (Event.RESTORED, "system")
    await desk.copies.confirm(ANA)
    assert await desk.copies.older() is None
    redeemed = await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    assert redeemed.outcome.state is OutcomeState.RUNNING
    assert (await events(desk))[-2:] == [(Event.RESTORE_CONFIRMED, "os:ana"), (Event.STARTED, "os:agent")]
    assert (await desk.evidence.verify()).wrong is None
    await desk.store.close()


async def test_t43_it_is_held_from_the_first_moment_and_in_every_process(tmp_path: Path) -> None:
    """Before anything was written, and after entries have grown past the number that was kept."""
    ready = await used_and_put_back(tmp_path / "hitl.db")
    desk, other = at(tmp_path / "hitl.db"), at(tmp_path / "hitl.db")
    for growing in range(4):
        for one in (desk, other):
            with pytest.raises(Paused):
                await one.approvals.redeem(AGENT, ready.id, ready.digest)
        asked = await desk.approvals.submit(AGENT, "action", {"n": growing})
        assert asked.status is Status.PENDING
        with pytest.raises(Paused):
            await other.decisions.decide(ANA, Shown.of(asked), Verdict.APPROVE, assurance=Assurance.LOCAL)
    assert [event for event, _ in await events(desk)].count(Event.RESTORED) == 1
    await other.copies.confirm(ANA)
    await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    for one in (desk, other):
        await one.store.close()


async def test_t43_a_flow_does_not_run_again_until_a_person_confirms(tmp_path: Path) -> None:
    expense = {"amount": 5, "currency": "EUR", "description": "Lunch"}
    ready = await used_and_put_back(tmp_path / "hitl.db", "expense", **expense)
    desk = at(tmp_path / "hitl.db", later=LEASE)
    assert await runner_of(desk).catch_up() == 0
    await desk.copies.confirm(ANA)
    assert await desk.copies.older() is None
    assert await runner_of(desk).catch_up() == 1
    assert (await desk.approvals.get(AGENT, ready.id)).outcome.state is OutcomeState.SUCCEEDED
    await desk.store.close()


async def test_t43_a_new_database_in_place_of_a_lost_one_is_held_too(tmp_path: Path) -> None:
    desk = at(tmp_path / "hitl.db")
    await approve(desk)
    await desk.store.close()
    (tmp_path / "hitl.db").unlink()
    desk = at(tmp_path / "hitl.db")
    asked = await desk.approvals.submit(AGENT, "action", {"do": "it"})
    with pytest.raises(Paused):
        await desk.decisions.decide(ANA, Shown.of(asked), Verdict.APPROVE, assurance=Assurance.LOCAL)
    await desk.store.close()


async def test_t43_a_head_that_lags_behind_or_is_lost_or_damaged_raises_no_alarm(tmp_path: Path) -> None:
    database, head = tmp_path / "hitl.db", tmp_path / "hitl.db.head"
    desk = at(database)
    first = await approve(desk)
    behind = head.read_bytes()
    second = await approve(desk, n=2)
    await desk.store.close()
    for kept in (behind, behind[:20], b"", None):
        head.unlink() if kept is None else head.write_bytes(kept)
        desk = at(database)
        assert await desk.copies.older() is None
        await approve(desk, kept=str(kept))
        await desk.store.close()
        assert head.read_bytes() != kept and len(head.read_bytes()) == len(behind)
    desk = at(database)
    for ready in (first, second):
        await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    await desk.store.close()


async def test_t43_somebody_who_hides_the_hold_in_the_file_is_found(tmp_path: Path) -> None:
    await used_and_put_back(tmp_path / "hitl.db")
    desk = at(tmp_path / "hitl.db")
    await desk.check_policy()
    with closing(sqlite3.connect(tmp_path / "hitl.db")) as db, db:
        db.execute("UPDATE facts SET value = '' WHERE name = 'restored'")
    assert (await desk.evidence.verify()).wrong == "the stored state of a restored copy is not the one in the log"
    await desk.store.close()


async def test_t35_no_trail_counts_as_verified_while_the_end_of_the_log_is_missing(tmp_path: Path) -> None:
    ready = await used_and_put_back(tmp_path / "hitl.db")
    desk = at(tmp_path / "hitl.db")
    assert not (await desk.approvals.trail(AGENT, ready.id)).verified
    await desk.copies.confirm(ANA)
    assert (await desk.approvals.trail(AGENT, ready.id)).verified
