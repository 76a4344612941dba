"""T21: an approval by somebody who has lost the right since counts for nothing, also while others still decide."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from desk_samples import AGENT, ANA, BO, CY, RULEBOOK, said, say

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import OutcomeState, Status
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.kinds import COUNTER
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Assurance, Policy, Stage, Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import NotAllowed

pytestmark = pytest.mark.anyio

PAIR = Policy(stages=(Stage(("group:finance",), quorum=2),))
BEFORE = replace(RULEBOOK, kinds={**RULEBOOK.kinds, "counter": replace(COUNTER, policy=PAIR)})
AFTER = replace(BEFORE, people=People(groups={"finance": frozenset({"os:bo", "os:cy"}), "managers": frozenset()}))


async def test_t21_the_second_of_two_cannot_approve_what_the_first_may_not_approve_any_more(
    under: Callable[[Rulebook], Desk],
) -> None:
    desk = under(BEFORE)
    asked = await desk.approvals.submit(AGENT, "counter", {})
    await say(desk, said(ANA, asked, answer={"amount": 5}))
    desk = under(AFTER)
    objection = await desk.decisions.objection(BO, asked, Assurance.LOCAL)
    assert objection is not None and "os:ana, whose right was withdrawn since. Edit it" in objection
    with pytest.raises(NotAllowed, match="os:ana, whose right was withdrawn"):
        await say(desk, said(BO, asked, answer={"amount": 5}))
    now = await desk.approvals.get(AGENT, asked.id)
    assert (now.status, now.outcome.state) == (Status.PENDING, OutcomeState.NONE)
    rejected = await say(desk, said(BO, now, Verdict.REJECT, comment="No."))
    assert rejected.status is Status.REJECTED, "which needs nobody else"


async def test_t21_an_edit_lets_it_be_decided_anew_by_those_who_may(under: Callable[[Rulebook], Desk]) -> None:
    desk = under(BEFORE)
    asked = await desk.approvals.submit(AGENT, "pair", {"n": 1})
    await say(desk, said(ANA, asked))
    desk = under(AFTER)
    edited = await desk.approvals.edit(BO, Shown.of(asked), {"n": 2}, assurance=Assurance.LOCAL)
    for person in (BO, CY):
        edited = await say(desk, said(person, edited))
    assert edited.status is Status.APPROVED
    assert (await desk.approvals.redeem(AGENT, asked.id, edited.digest)).outcome.state is OutcomeState.RUNNING
