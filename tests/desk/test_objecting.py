"""Why somebody could not decide: asked before, it is told in the words of the refusal that would follow."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from desk_samples import ANA, BO, RULEBOOK, Clock, WatchedStore, said, say
from team_samples import AGENT, LADDER, PAIR, a_rulebook, edited, person, told

from mcp_hitl.desk import Desk
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.policy.kinds import COUNTER
from mcp_hitl.domain.policy.policy import Assurance, Policy, Stage, Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import HitlError

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]
STRICT = replace(PAIR, four_eyes=True, editor_may_approve=False, rejections=2)
APPROVE, REJECT = Verdict.APPROVE, Verdict.REJECT
SESSION = Assurance.SESSION

CASES: dict[str, tuple[Policy, list[str], str, Verdict, Assurance, str | None]] = {
    "nothing against it": (PAIR, [], "ana", APPROVE, SESSION, None),
    "by another account": (PAIR, [], "ana.b", APPROVE, SESSION, None),
    "not their stage yet": (LADDER, [], "cy", APPROVE, SESSION, "It needs one of: group:finance. Ask one of them"),
    "their stage by now": (LADDER, ["bo approves"], "cy", APPROVE, SESSION, None),
    "a stranger": (PAIR, [], "mallory", REJECT, SESSION, "at this stage. It needs one of"),
    "one's own request": (
        replace(STRICT, stages=(replace(PAIR.stages[0], approvers=("agent",)),)),
        [],
        "agent",
        APPROVE,
        SESSION,
        "is your own request",
    ),
    "decided already": (PAIR, ["ana approves"], "ana", APPROVE, SESSION, "You have already decided"),
    "decided already by another account": (PAIR, ["ana approves"], "ana.b", REJECT, SESSION, "already decided"),
    "an earlier stage": (
        replace(LADDER, one_stage_each=True),
        ["ana approves"],
        "ana",
        APPROVE,
        SESSION,
        "approved an earlier stage",
    ),
    "their own edit": (STRICT, ["ana edits it to 2"], "ana", APPROVE, SESSION, "You edited"),
    "their own edit, which they reject": (STRICT, ["ana edits it to 2"], "ana", REJECT, SESSION, None),
    "not sure enough": (replace(PAIR, assurance=SESSION), [], "ana", APPROVE, Assurance.LOCAL, "session; this"),
    "nobody was asked": (
        PAIR,
        [],
        "ana",
        APPROVE,
        Assurance.NONE,
        "accepts no decision that was made without asking a person",
    ),
    "resolved already": (PAIR, ["ana rejects"], "bo", APPROVE, SESSION, "was rejected"),
    "taken back": (PAIR, ["agent cancels"], "bo", APPROVE, SESSION, "was cancelled"),
}


async def refusal(desk: Desk, approval: Approval, who: str, verdict: Verdict, assurance: Assurance) -> str | None:
    """What deciding it is refused with."""
    try:
        await say(desk, said(person(who), approval, verdict, assurance=assurance))
    except HitlError as error:
        return str(error)
    return None


@pytest.mark.parametrize("case", CASES)
async def test_an_objection_is_the_refusal_that_would_follow(under: Under, case: str) -> None:
    policy, sentences, who, verdict, assurance, words = CASES[case]
    desk = under(a_rulebook(policy))
    approval = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    for sentence in sentences:
        assert ":" not in await told(desk, approval, sentence)
    approval = await desk.approvals.get(AGENT, approval.id)
    objection = await desk.decisions.objection(person(who), approval, assurance, verdict)
    assert objection is None if words is None else words in (objection or "")
    assert await refusal(desk, approval, who, verdict, assurance) == objection


async def _stop(desk: Desk, clock: Clock, approval: Approval) -> None:
    await desk.stops.pause(AGENT, "thing")


async def _let_it_run_out(desk: Desk, clock: Clock, approval: Approval) -> None:
    clock.now = approval.expires_at


async def _edit(desk: Desk, clock: Clock, approval: Approval) -> None:
    await edited(desk, person("bo"), approval, {"n": 2})


@pytest.mark.parametrize(
    ("happen", "words"),
    [(_stop, "emergency stop is on"), (_let_it_run_out, "expired"), (_edit, "was edited after this was shown")],
)
async def test_what_happened_since_it_was_shown_is_told(
    under: Under, clock: Clock, happen: Callable[[Desk, Clock, Approval], Awaitable[None]], words: str
) -> None:
    desk = under(a_rulebook(PAIR))
    shown = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    assert await desk.decisions.objection(person("ana"), shown, SESSION) is None
    clock.advance(timedelta(seconds=1))
    await happen(desk, clock, shown)
    objection = await desk.decisions.objection(person("ana"), shown, SESSION)
    assert objection is not None and words in objection
    assert await refusal(desk, shown, "ana", APPROVE, SESSION) == objection


async def test_asking_changes_nothing(under: Under) -> None:
    desk = under(a_rulebook(PAIR))
    shown = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    before = await desk.evidence.head()
    await desk.decisions.objection(person("ana"), shown, SESSION)
    assert await desk.evidence.head() == before and await desk.approvals.get(AGENT, shown.id) == shown


async def test_what_is_not_here_is_told(under: Under, foreign: Desk) -> None:
    there = await foreign.approvals.submit(AGENT, "action", {"n": 1})
    objection = await under(a_rulebook(PAIR)).decisions.objection(person("ana"), there, SESSION)
    assert objection is not None and "no approval with this id" in objection


@pytest.mark.parametrize("stages", [[1], [2], [1, 1]], ids=["one", "two together", "one after the other"])
async def test_a_program_that_lacks_the_effect_says_so_before_the_approval_that_would_need_it(
    store: WatchedStore, clock: Clock, stages: list[int]
) -> None:
    policy = Policy(stages=tuple(Stage(("os:ana", "os:bo"), quorum=quorum) for quorum in stages))
    rulebook = replace(RULEBOOK, kinds={"counter": replace(COUNTER, policy=policy)})
    lacking = Desk(store, effects=Effects(), rulebook=rulebook, clock=clock)
    asked = await lacking.approvals.submit(AGENT, "counter", {})
    answer = {"amount": 1}
    if sum(stages) > 1:
        assert await lacking.decisions.objection(BO, asked, Assurance.LOCAL) is None
        asked = await say(lacking, said(BO, asked, answer=answer))
    objection = await lacking.decisions.objection(ANA, asked, Assurance.LOCAL)
    assert objection is not None and "cannot do what has to happen when a counter is approved" in objection
    with pytest.raises(HitlError) as refused:
        await say(lacking, said(ANA, asked, answer=answer))
    assert str(refused.value) == objection
    assert await lacking.decisions.objection(ANA, asked, Assurance.LOCAL, REJECT) is None
