"""The main job on real input: an agent asks over stdio, a person decides at a terminal, the waiting call returns."""

from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from terminal import at_terminal, run
from wires import PROTOCOLS, carried_out, connect, content, text

from mcp_hitl.cli.os_user import os_user

pytestmark = pytest.mark.anyio


def decide(database: Path, *command: str) -> str:
    """What a person does: read what the terminal shows, and type y; returns what they read."""
    with at_terminal(database, *command) as person:
        shown = person.answer(" this? [y/N]: ", "y")
        assert person.finish() == 0
        return shown


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_expense_is_submitted_approved_by_a_person_at_a_terminal_and_returned_approved(
    tmp_path: Path, protocol: str
) -> None:
    database = tmp_path / "hitl.db"
    results: list[str] = []
    done: dict[str, Any] = {}
    returned = anyio.Event()
    async with connect(database, protocol) as agent, anyio.create_task_group() as tasks:
        expense = {"amount": 129.9, "currency": "EUR", "description": "Train to Lyon", "category": "travel"}
        submitted = content(await agent.call_tool("submit-expense", expense))
        assert submitted["status"] == "pending"

        async def wait() -> None:
            waited = await agent.call_tool("wait-for-approval", {"id": submitted["id"], "timeout_seconds": 300})
            approval = content(waited)
            assert approval["status"] == "approved" and approval["payload"] == expense
            assert approval["digest"] == submitted["digest"]
            [decision] = approval["decisions"]
            assert (decision["approver"], decision["assurance"]) == (os_user().id, "local")
            assert decision["comment"] == "Have a good trip."
            results.append(text(waited))
            returned.set()

        tasks.start_soon(wait)
        with anyio.fail_after(60):  # and not after the 300 seconds that the call may wait
            shown = await anyio.to_thread.run_sync(
                decide, database, "approve", submitted["id"], "--comment", "Have a good trip."
            )
            assert "129.9" in shown and "Train to Lyon" in shown
            await returned.wait()
            done.update(await carried_out(agent, submitted["id"]))
    assert "it is being carried out here" in results[0] or "Approved and done" in results[0]
    assert done["outcome"] == {"state": "succeeded", "result": {"amount": 129.9, "currency": "EUR"}, "error": None}
    [progress] = done["progress"]
    assert (progress["step"], progress["message"]) == ("approval", "Awaiting approval for 129.90 EUR")
    assert run(database, "audit", "verify").returncode == 0


async def test_a_counter_question_is_answered_at_the_terminal_and_counts_once(tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"

    def answer(approval_id: str) -> None:
        with at_terminal(database, "approve", approval_id) as person:
            person.answer("Increase by (number): ", "7")
            person.answer(" this? [y/N]: ", "y")
            assert person.finish() == 0

    async with connect(database, "2025-11-25") as agent:  # which shows no forms
        asked = content(await agent.call_tool("increase-counter", {"confirm": True}))
        assert asked["status"] == "pending"
        await anyio.to_thread.run_sync(answer, asked["id"])
        for _ in range(2):
            collected = content(await agent.call_tool("wait-for-approval", {"id": asked["id"]}))
            assert collected["outcome"]["result"] == {"counter": 7, "increased_by": 7}
        again = await agent.call_tool("increase-counter", {"confirm": False})
        assert content(again)["counter"] == 7
