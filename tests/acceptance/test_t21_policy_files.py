"""T21: the program takes over a changed policy file while it runs."""

from pathlib import Path

import anyio
import pytest
from mcp import StdioServerParameters
from warm import warm
from wires import PROTOCOLS, connect, text, unmeasured

from mcp_hitl.desk import Desk
from mcp_hitl.desk.feed import ANY
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


async def test_t21_a_server_that_runs_goes_by_the_changed_policy_file(tmp_path: Path) -> None:
    database, file = tmp_path / "hitl.db", tmp_path / "policy.toml"
    file.write_text("[kinds.action]\n")
    command, *arguments = warm("--db", str(database), "--config", str(file))
    server = StdioServerParameters(command=command, args=arguments, env=unmeasured())
    asked = {"title": "Do it", "details": {"n": 1}}
    changed = anyio.Event()
    async with connect(server, PROTOCOLS[-1]) as agent:
        assert not (await agent.call_tool("request-approval", asked)).is_error
        store = SqliteStore(database)
        try:
            desk = Desk(store, effects=EFFECTS)
            async with (
                desk.open(),
                desk.feed.listen(ANY, lambda _: changed.set(), events=frozenset({Event.POLICY_CHANGED})),
            ):
                file.write_text('[[kinds.action.rules]]\nname = "none"\nwhen = {}\ndecide = "reject"\n')
                with anyio.fail_after(60):
                    await changed.wait()
        finally:
            await store.close()
        refused = await agent.call_tool("request-approval", asked | {"details": {"n": 2}})
    assert "none" in text(refused)
