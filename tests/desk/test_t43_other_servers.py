"""A database is restored on a server, or a standby takes over: nothing acts until a person has confirmed it."""

import secrets
from pathlib import Path

import postgres
import pytest
from asked import AGENT

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.errors import Paused
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.postgres import PostgresStore

pytestmark = pytest.mark.anyio

ANA = Principal("os:ana", Established.OS_USER)


def at(url: str) -> Desk:
    return Desk(PostgresStore(url), effects=EFFECTS)


async def approve(desk: Desk) -> Approval:
    asked = await desk.approvals.submit(AGENT, "action", {"do": "it"})
    return await desk.decisions.decide(ANA, Shown.of(asked), Verdict.APPROVE, assurance=Assurance.LOCAL)


async def events(desk: Desk) -> list[Event]:
    return [one.entry.event for one in await desk.evidence.entries()]


async def test_t43_what_was_approved_is_held_in_a_database_that_was_restored_elsewhere(tmp_path: Path) -> None:
    url = postgres.database_of(tmp_path)
    desk = at(url)
    ready = await approve(desk)
    await desk.store.close()
    desk = at(postgres.copy_of(url))
    await desk.check_policy()
    with pytest.raises(Paused, match=r"An older copy of this database was put back"):
        await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    assert (await events(desk))[-1] is Event.RESTORED
    assert await desk.copies.older() == 0
    assert await desk.copies.confirm(ANA)
    redeemed = await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    assert redeemed.outcome.state is OutcomeState.RUNNING
    assert (await desk.evidence.verify()).wrong is None
    await desk.store.close()


async def test_t43_a_server_that_only_restarts_holds_nothing() -> None:
    server = postgres.mortal()
    url = server.create(f"t_{secrets.token_hex(8)}")
    desk = at(url)
    ready = await approve(desk)
    server.stop("immediate")
    server.start()
    assert (await desk.approvals.redeem(AGENT, ready.id, ready.digest)).outcome.state is OutcomeState.RUNNING
    await desk.store.close()


async def test_t43_a_log_that_runs_back_under_an_open_desk_is_noticed(tmp_path: Path) -> None:
    """Somebody who owns the tables takes the triggers away and the newest entries with them."""
    url = postgres.database_of(tmp_path)
    desk = at(url)
    ready = await approve(desk)
    postgres.run(url, "ALTER TABLE mcp_hitl.audit DISABLE TRIGGER ALL", "DELETE FROM mcp_hitl.audit WHERE seq > 1")
    with pytest.raises(Paused, match=r"An older copy of this database was put back"):
        await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    await desk.store.close()
