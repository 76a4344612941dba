"""T36: whoever hands a payload over, or takes it to act, gets that payload: not what an editor typed in between."""

from collections.abc import Callable

import pytest
from desk_samples import AGENT, ANA, said, say

from mcp_hitl.config.policy_file import parse
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.rulebook import Rulebook

pytestmark = pytest.mark.anyio

VAULT = parse('[kinds.vault]\nschema = { properties = { pin = { type = "string", writeOnly = true } } }\n').rulebook


async def edited(desk: Desk, approval: Seen, *pins: str) -> Seen:
    for pin in pins:
        approval = await desk.approvals.edit(ANA, Shown.of(approval), {"pin": pin}, assurance=Assurance.LOCAL)
    return approval


async def test_t36_who_asks_again_is_not_told_what_an_editor_typed(under: Callable[[Rulebook], Desk]) -> None:
    desk = under(VAULT)
    asked = await desk.approvals.submit(AGENT, "vault", {"pin": "mine"})
    await edited(desk, asked, "the editor's", "mine")
    again = await desk.approvals.submit(AGENT, "vault", {"pin": "mine"})
    assert (again.id, again.payload) == (asked.id, {"pin": "mine"})
    assert "the editor's" not in str(again.edits) and len(again.edits) == 2


async def test_t36_who_redeems_gets_what_was_approved_alone(under: Callable[[Rulebook], Desk]) -> None:
    desk = under(VAULT)
    asked = await desk.approvals.submit(AGENT, "vault", {"pin": "mine"})
    now = await edited(desk, asked, "a slip", "approved")
    await say(desk, said(ANA, now))
    used = await desk.approvals.redeem(AGENT, asked.id, now.digest)
    assert used.payload == {"pin": "approved"} and "a slip" not in str(used.edits)
