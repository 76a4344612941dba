"""T17: whatever a program says of the people for whom it decides, the record says that only the program says so."""

import json
from pathlib import Path

import pytest
from desk_samples import views

from mcp_hitl import Approvals, Assurance, Established, Principal, Status, Verdict
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.principal import VOUCHED
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.present.approval_views import review
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.web.descriptions import decided_so_far

pytestmark = pytest.mark.anyio

SURFACES = [Established.OS_USER, Established.LOOPBACK, Established.SIGN_IN_LINK]
POLICY = '[kinds.action]\nstages = [{ approvers = ["os:ana", "local"], quorum = 2 }]\n'


def told_of(desk: Desk, approval: Seen) -> list[str]:
    """What the page, the terminal and a model are told of its decisions."""
    page = [moment.note or "" for moment in decided_so_far(approval)]
    return [*page, review(approval, desk.clock()), views(desk).summary(approval)]


@pytest.mark.parametrize("surface", SURFACES)
async def test_t17_a_program_that_names_another_surface_is_recorded_as_a_program(
    tmp_path: Path, surface: Established
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    async with Approvals(tmp_path / "hitl.db", policy=policy).running() as approvals:
        desk, ana = approvals.desk, Principal("os:ana", surface)
        asked = await approvals.request("Refund", {"n": 1})
        await approvals.approve(asked, ana, assurance=Assurance.SESSION)
        seen = await desk.approvals.get(ana, asked.id)
        [decision] = seen.decisions
        assert decision.established in VOUCHED and decision.established == f"program-{surface.value}"
        assert [text for text in told_of(desk, seen) if "as a program says" not in text] == []
        assert views(desk).shape(seen)["decisions"][0]["established"] == f"program-{surface.value}"
        with pytest.raises(Exception, match="already decided"):
            await approvals.approve(await approvals.get(asked.id), ana, assurance=Assurance.SESSION)
        other = await desk.approvals.submit(ana, "action", {"n": 2})
        await desk.stops.pause(ana, "action")
        lines = list[str]()
        await desk.evidence.export(lines.append)
        by_ana = [entry for entry in map(json.loads, lines) if entry.get("actor") == "os:ana"]
        assert {entry["event"] for entry in by_ana} == {"decided", "opened", "paused"}
        assert {entry["established"] for entry in by_ana} == {f"program-{surface.value}"}
        assert other.requested_as == f"program-{surface.value}"
        assert (await desk.evidence.verify()).wrong is None


async def test_t17_at_the_machine_nobody_becomes_a_program_and_older_records_stay_as_they_are(tmp_path: Path) -> None:
    ana = Principal("os:ana", Established.OS_USER)
    store = SqliteStore(tmp_path / "hitl.db")
    desk = Desk(store, effects=EFFECTS, rulebook=Rulebook())
    asked = await desk.approvals.submit(ana, "action", {"n": 1})
    decided = await desk.decisions.decide(ana, Shown.of(asked), Verdict.APPROVE, assurance=Assurance.LOCAL)
    assert "program" not in "".join(told_of(desk, decided))
    await store.close()
    async with Approvals(tmp_path / "hitl.db").running() as approvals:
        read = await approvals.get(asked.id)
        assert (read.status, read.decisions[0].established) == (Status.APPROVED, "os-user")
        assert (await approvals.desk.evidence.verify()).wrong is None
