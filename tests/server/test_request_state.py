"""The sealed state of a form: good on every process that shares the key, for days; good for nothing else."""

import time
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from mcp.shared.exceptions import MCPError
from server.rig import MODERN, Rig, Rounds, listening
from warm import warm
from wires import DECLINE, Person, accept, connect, content, text, unmeasured

from mcp_hitl.flows.counter import value_of
from mcp_hitl.server.app import STATE_SECONDS

pytestmark = pytest.mark.anyio

CONFIRMED = {"confirm": True}
OWN_KEY = "a key of the operator's own, long enough"


def _process(database: Path, **variables: str) -> StdioServerParameters:
    command, *arguments = warm("--db", str(database))
    return StdioServerParameters(command=command, args=arguments, env=unmeasured(**variables))


async def _asked(target: Any) -> Rounds:
    async with connect(target, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, "increase-counter", CONFIRMED)
        await rounds.ask()
    return rounds


async def test_the_key_beside_the_database_serves_every_process_on_it(rig: Rig) -> None:
    rounds = await _asked(_process(rig.database))
    key = rig.database.with_name("hitl.db.key")
    assert len(key.read_bytes()) == 32
    assert key.stat().st_mode & 0o077 == 0
    async with connect(_process(rig.database), MODERN, person=Person(DECLINE)) as client:
        assert text(await rounds.answer(accept(amount=5), client=client)).endswith("now at 5")


async def test_another_key_refuses_the_state_and_the_operators_own_is_taken(rig: Rig) -> None:
    rounds = await _asked(_process(rig.database, MCP_HITL_KEY=OWN_KEY))
    assert not rig.database.with_name("hitl.db.key").exists()
    async with connect(_process(rig.database), MODERN, person=Person(DECLINE)) as client:
        with pytest.raises(MCPError, match="requestState"):
            await rounds.answer(accept(amount=5), client=client)
    assert await rig.desk.read(value_of) == 0
    server = rig.serving_as(rig.desk_principal, key=OWN_KEY.encode())
    async with listening(server) as url, connect(url, MODERN, person=Person(DECLINE)) as client:
        assert text(await rounds.answer(accept(amount=5), client=client)).endswith("now at 5")


async def test_a_state_belongs_to_its_tool_and_arguments(rig: Rig) -> None:
    first, second = await rig.opened(payload={"a": 1}), await rig.opened(payload={"a": 2})
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, "approve", {"id": first.id})
        await rounds.ask()
        for name, arguments in (("approve", {"id": second.id}), ("reject", {"id": first.id, "reason": "x"})):
            other = Rounds(client, name, arguments)
            other.state = rounds.state
            with pytest.raises(MCPError, match="requestState"):
                await other.answer(accept(decision="approve"))
        assert rig.rows()["decisions"] == 0
        assert content(await rounds.answer(accept(decision="approve")))["status"] == "approved"


async def test_the_state_hides_what_it_holds(rig: Rig) -> None:
    approval = await rig.opened()
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, "approve", {"id": approval.id})
        await rounds.ask()
    assert rounds.state is not None
    assert approval.id not in rounds.state
    assert approval.digest.removeprefix("sha256:")[:16] not in rounds.state


async def test_a_state_lives_seven_days(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert STATE_SECONDS == 7 * 24 * 3600
    now = time.time()
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        question = Rounds(client, "ask-human", {"question": "When?"})
        await question.ask()
        monkeypatch.setattr("mcp.server.request_state.time.time", lambda: now + STATE_SECONDS - 60)
        result = await question.answer(accept(answer="late"))
        assert content(result)["answer"] == {"answer": "late"}
        monkeypatch.setattr("mcp.server.request_state.time.time", lambda: now + STATE_SECONDS + 60)
        with pytest.raises(MCPError, match="expired"):
            await question.answer(accept(answer="later"))
