"""However often the same is asked for, what a tool returns of it stays short and keeps its meaning."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from asked import ask_again
from mcp_types import TextResourceContents
from server.rig import MODERN, Rig, valid
from wires import connect, content, text

from mcp_hitl.domain.policy.principal import LOOPBACK

pytestmark = pytest.mark.anyio
TIMES = 30_000 if os.environ.get("SOAK") else 3_000


async def test_t37_a_trail_folds_what_was_asked_again_and_again(rig: Rig, tmp_path: Path) -> None:
    approval = await rig.opened()
    await ask_again(tmp_path / "hitl.db", approval, LOOPBACK, TIMES)
    await rig.decide(approval.id)
    async with connect(rig.server.mcp, MODERN) as client:
        trail = valid("audit-trail", await client.call_tool("audit-trail", {"id": approval.id}))
        [resource] = (await client.read_resource(f"audit://{approval.id}")).contents
        assert isinstance(resource, TextResourceContents)
        found = content(trail)
        assert len(json.dumps(found)) + len(text(trail)) < 50_000 and json.loads(resource.text) == found
        events = [entry["event"] for entry in found["entries"]]
        assert events == ["opened", *["asked-again"] * 20, "decided", "approved"]
        [fold] = found["folded"]
        assert (fold["event"], fold["count"]) == ("asked-again", TIMES - 20)
        assert fold["first"] <= fold["last"]
        assert f"\n… asked-again {TIMES - 20:,} more times, from {fold['first']}" in text(trail)
        assert found["verified"] is True
        # One of those that are not shown is changed.
        await rig.store.write(_forge)
        forged = content(await client.call_tool("audit-trail", {"id": approval.id}))
    assert (forged["verified"], forged["folded"]) == (False, found["folded"])


def _forge(tx: Any) -> None:
    tx.execute("DROP TRIGGER audit_fixed")
    tx.execute("UPDATE audit SET actor = 'os:ceo' WHERE seq = 1000")
