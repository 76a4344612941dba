"""What a cycle asks of the database, so that it does not grow again: each statement is a turn of two threads, or a way
to a server and back.
"""

from pathlib import Path

import postgres
import pytest
from desk_samples import RULEBOOK, Clock
from statements import recorded

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import runner_of
from mcp_hitl.store.postgres import PostgresStore
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.store import Store

pytestmark = pytest.mark.anyio

ANA = Principal("os:ana", Established.OS_USER)
MOST = {"sqlite": 125, "postgres": 71}
"""The statements of a cycle whose flow waits before a person decides."""


async def cycle(desk: Desk, number: int) -> None:
    """Ask, let the flow run until it waits, approve, and let it run to its end."""
    runner = runner_of(desk)
    asked = await desk.approvals.submit(ANA, "expense", {"amount": number, "currency": "USD", "description": "Lunch"})
    assert await runner.catch_up() == 1
    await desk.decisions.decide(ANA, Shown.of(asked), Verdict.APPROVE, assurance=Assurance.LOCAL)
    assert await runner.catch_up() == 1
    assert (await desk.approvals.get(ANA, asked.id)).outcome.state is OutcomeState.SUCCEEDED


def transactions(statements: list[str]) -> list[list[str]]:
    """What ran between one beginning and the next."""
    found: list[list[str]] = []
    for one in statements:
        if one.startswith("BEGIN"):
            found.append([])
        found[-1].append(one)
    return found


@pytest.mark.parametrize("kind", MOST)
async def test_a_cycle_needs_few_statements_and_reads_its_approval_once_in_a_transaction(
    kind: str, tmp_path: Path
) -> None:
    store: Store = (
        SqliteStore(tmp_path / "hitl.db") if kind == "sqlite" else PostgresStore(postgres.database_of(tmp_path))
    )
    desk = Desk(store, effects=EFFECTS, rulebook=RULEBOOK, clock=Clock())
    await cycle(desk, 1)
    with recorded() as statements:
        await cycle(desk, 2)
    await store.close()
    for one in transactions(statements):
        assert sum(" FROM approvals " in text and "SELECT id, kind" in text for text in one) <= 1, one
    assert len(statements) <= MOST[kind], "\n".join(text[:120] for text in statements)
