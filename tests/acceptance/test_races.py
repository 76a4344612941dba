"""Eight processes decide one approval at the same moment: one decision stands, and seven are told who was first."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack

import anyio
import pytest
from looking import rows
from mcp import Client
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitResult
from wires import PROTOCOLS, Person, accept, connect, content, text

from mcp_hitl.cli.os_user import os_user
from mcp_hitl.config.location import Location
from mcp_hitl.domain.evidence.chain import content_digest

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]

ROUNDS = 200 if os.environ.get("SOAK") else 8
RACERS = 8
CARRIED_OUT = [("progress",), ("started",), ("succeeded",)]


def racers_protocols() -> Iterator[str]:
    """Every revision, in turn."""
    for number in range(RACERS):
        yield PROTOCOLS[number % len(PROTOCOLS)]


class Racer:
    """One person in front of one client; they approve in one round and reject in the next."""

    def __init__(self, number: int, barrier: asyncio.Barrier) -> None:
        """Answer when all who share `barrier` have the form before them."""
        self.number = number
        self.verdict = ""
        self._barrier = barrier

    async def answer(self, form: ElicitRequestFormParams) -> ElicitResult:
        """Wait for the others, then decide."""
        await self._barrier.wait()
        return accept(decision=self.verdict, comment=f"Racer {self.number}")


async def test_of_eight_simultaneous_decisions_one_counts_and_seven_hear_whose(database: Location) -> None:
    barrier = asyncio.Barrier(RACERS)
    racers = [Racer(number, barrier) for number in range(RACERS)]
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for racer, protocol in zip(racers, racers_protocols(), strict=True):
            clients.append(await stack.enter_async_context(connect(database, protocol, person=Person(racer.answer))))
        for number in range(ROUNDS):
            await race(number, database, racers, clients)
    assert len(rows(database, "SELECT * FROM decisions")) == ROUNDS
    told = rows(database, "SELECT event FROM audit")
    assert len([event for event in told if event not in CARRIED_OUT]) == 3 * ROUNDS


async def race(number: int, database: Location, racers: list[Racer], clients: list[Client]) -> None:
    """One approval, eight decisions."""
    expense = {"amount": 1 + number, "description": "Lunch"}
    approval_id = content(await clients[number % RACERS].call_tool("submit-expense", expense))["id"]
    results: dict[int, CallToolResult] = {}

    async def decide(racer: Racer, client: Client) -> None:
        racer.verdict = "approve" if (racer.number + number) % 2 else "reject"
        arguments = {"id": approval_id} | ({"reason": "No."} if racer.verdict == "reject" else {})
        results[racer.number] = await client.call_tool(racer.verdict, arguments)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for racer, client in zip(racers, clients, strict=True):
                tasks.start_soon(decide, racer, client)

    [winner] = [of for of, result in results.items() if not result.is_error]
    status = {"approve": "approved", "reject": "rejected"}[racers[winner].verdict]
    won = content(results[winner])
    assert (won["status"], [decision["comment"] for decision in won["decisions"]]) == (status, [f"Racer {winner}"])
    for late in [result for result in results.values() if result.is_error]:
        assert content(late)["code"] == "already_resolved"
        assert f"{approval_id} was {status} by {os_user().id} at " in text(late)
    decisions = rows(database, "SELECT verdict, comment FROM decisions WHERE approval = ?", approval_id)
    assert decisions == [(racers[winner].verdict, content_digest(f"Racer {winner}"))]
    # What the processes carry out meanwhile is the flow's own story, told once each; here it is who decided.
    events = rows(database, "SELECT event FROM audit WHERE approval = ? ORDER BY seq", approval_id)
    assert [event for event in events if event not in CARRIED_OUT] == [("opened",), ("decided",), (status,)]
    assert len(set(events)) == len(events)
    assert status == "approved" or set(events) & set(CARRIED_OUT) <= {("progress",)}
