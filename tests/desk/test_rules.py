"""What a policy decides by itself, or puts before others; what that leaves behind, and what it never does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from desk_samples import Clock, hour, views
from team_samples import AGENT, FINANCE, MANAGERS, a_rulebook, edited, person, told

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance, Policy, Stage, Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Conflict, Invalid, NotAllowed

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]


def number(**bounds: Any) -> JsonObject:
    """The payloads whose `n` is within these bounds."""
    return {"properties": {"n": {"type": "number", **bounds}}, "required": ["n"]}


SMALL = Rule(name="small", when=number(exclusiveMaximum=10), decide=Verdict.APPROVE)
ABSURD = Rule(name="absurd", when=number(minimum=1_000), decide=Verdict.REJECT)
LARGE = Rule(name="large", when=number(minimum=100), stages=(FINANCE, MANAGERS))
BY_FINANCE = Policy(stages=(FINANCE,), assurance=Assurance.SESSION)
BOOK = a_rulebook(BY_FINANCE, rules=(SMALL, ABSURD, LARGE))
THING: JsonObject = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}


async def ask(desk: Desk, n: object, **options: Any) -> Approval:
    return await desk.approvals.submit(AGENT, "thing", {"n": n}, **options)


@pytest.mark.parametrize(
    ("n", "status", "rule", "stages"),
    [
        (9.99, Status.APPROVED, "small", 1),
        (10, Status.PENDING, None, 1),
        (99, Status.PENDING, None, 1),
        (100, Status.PENDING, "large", 2),
        (999, Status.PENDING, "large", 2),
        (1_000, Status.REJECTED, "absurd", 1),
    ],
)
async def test_the_first_rule_that_a_payload_satisfies_counts(
    under: Under, n: float, status: Status, rule: str | None, stages: int
) -> None:
    asked = await ask(under(BOOK), n)
    assert (asked.status, asked.rule, len(asked.policy.stages)) == (status, rule, stages)


async def test_what_a_rule_decides_is_recorded_as_decided_by_the_policy_and_names_the_rule(under: Under) -> None:
    desk = under(BOOK)
    approved = await ask(desk, 5)
    (decision,) = approved.decisions
    assert (decision.approver, decision.established, decision.stage) == ("policy:small", "policy", 0)
    assert (decision.verdict, decision.assurance, approved.resolved_at) == (
        Verdict.APPROVE,
        Assurance.NONE,
        approved.requested_at,
    )
    opened, decided, ended = [recorded.entry for recorded in (await desk.approvals.trail(AGENT, approved.id)).entries]
    assert (opened.event, opened.actor, opened.data["rule"]) == (Event.OPENED, "agent", "small")
    assert (decided.event, decided.actor, decided.established, decided.assurance) == (
        Event.DECIDED,
        "system",
        None,
        Assurance.NONE,
    )
    assert (decided.data["rule"], decided.data["approver"], decided.data["digest"]) == (
        "small",
        "policy:small",
        approved.digest,
    )
    assert (ended.event, ended.actor) == (Event.APPROVED, "system")
    shown = views(desk).shape(Seen(approved))
    assert (shown["status"], shown["decisions"][0]["approver"]) == ("approved", "policy:small")
    assert (await desk.evidence.verify()).wrong is None


async def test_what_a_rule_approved_can_be_redeemed(under: Under) -> None:
    desk = under(BOOK)
    approved = await ask(desk, 5)
    redeemed = await desk.approvals.redeem(AGENT, approved.id, approved.digest)
    assert redeemed.outcome.state.value == "running"


async def test_other_stages_by_rule_are_copied_and_asked_in_their_order(under: Under) -> None:
    desk = under(BOOK)
    asked = await ask(desk, 100)
    assert await told(desk, asked, "bo approves signed in") == "stage 2, 0 of 1"
    assert (await told(desk, asked, "bo approves signed in")).startswith("not_allowed")
    assert await told(desk, asked, "cy approves signed in") == "approved"


async def test_a_rule_approves_so_many_a_day_and_then_people_are_asked(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(BY_FINANCE, rules=(replace(SMALL, max_per_day=2), LARGE)))
    first = await ask(desk, 1)
    clock.advance(hour(12))
    statuses = [(await ask(desk, n)).status for n in (2, 3, 4)]
    assert [first.status, *statuses] == [Status.APPROVED, Status.APPROVED, Status.PENDING, Status.PENDING]
    held = await ask(desk, 3)
    assert (held.rule, held.policy.stages, held.decisions) == (None, (FINANCE,), ())
    clock.advance(hour(12))
    assert (await ask(desk, 5)).status is Status.APPROVED  # the first is a day old
    assert (await ask(desk, 6)).status is Status.PENDING
    clock.advance(hour(24))
    assert (await ask(desk, 7)).status is Status.APPROVED


async def test_each_requester_has_a_day_of_their_own_under_all_of_their_accounts(under: Under) -> None:
    desk = under(a_rulebook(BY_FINANCE, rules=(replace(SMALL, max_per_day=1),)))

    async def asked_by(account: str, n: int) -> Status:
        return (await desk.approvals.submit(person(account), "thing", {"n": n})).status

    assert await asked_by("ana", 1) is Status.APPROVED
    assert await asked_by("ana.b", 2) is Status.PENDING
    assert await asked_by("bo", 2) is Status.APPROVED


async def test_what_people_approve_does_not_use_up_a_rules_day(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(BY_FINANCE, rules=(replace(SMALL, max_per_day=1),)))
    asked = await ask(desk, 50)
    assert await told(desk, asked, "bo approves signed in") == "approved"
    assert (await ask(desk, 1)).status is Status.APPROVED


async def test_an_old_request_that_is_edited_today_uses_todays_share_of_a_rule(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(replace(BY_FINANCE, assurance=Assurance.LOCAL), rules=(replace(SMALL, max_per_day=1),)))
    old = await ask(desk, 50)
    clock.advance(hour(48))
    assert (await edited(desk, person("bo"), old, {"n": 1})).status is Status.APPROVED
    assert (await ask(desk, 2)).status is Status.PENDING


async def test_what_a_rule_rejects_stays_rejected_for_the_cooldown(under: Under, clock: Clock) -> None:
    desk = under(BOOK)
    first = await ask(desk, 1_000)
    assert first.cooldown_until == clock() + hour(24)
    again = await ask(desk, 1_000)
    assert (again.id, again.asked) == (first.id, 2)
    clock.advance(hour(24))
    assert (await ask(desk, 1_000)).id != first.id


async def test_rules_decide_nothing_while_the_stop_is_on(under: Under) -> None:
    desk = under(BOOK)
    await desk.stops.pause(person("cy"), "thing")
    held = [await ask(desk, n) for n in (5, 1_000, 100)]
    assert [one.status for one in held] == [Status.PENDING] * 3
    assert [(one.rule, len(one.policy.stages)) for one in held] == [(None, 1), (None, 1), ("large", 2)]
    await desk.stops.resume(person("cy"), "thing")
    assert (await ask(desk, 6)).status is Status.APPROVED
    assert (await desk.approvals.get(AGENT, held[0].id)).status is Status.PENDING  # people were asked; people decide


@pytest.mark.parametrize("value", ["5", "5.0", "", True, None, [5], {"n": 5}, [], "１", "5e0", "-1", "0x5"])
async def test_t02_no_other_type_slips_under_a_rule(under: Under, value: object) -> None:
    strict = under(a_rulebook(BY_FINANCE, rules=(SMALL,), schema=THING))
    with pytest.raises(Invalid):
        await ask(strict, value)
    assert (await strict.search.pending(AGENT)).total == 0
    assert await strict.evidence.entries() == []
    lax = under(BOOK)  # whose schema lets any object in: what a rule does not describe is held
    asked = await ask(lax, value)
    assert (asked.status, asked.rule) == (Status.PENDING, None)


async def test_t02_a_missing_field_is_no_small_one(under: Under) -> None:
    with pytest.raises(Invalid, match="lacks the field 'n'"):
        await under(a_rulebook(BY_FINANCE, rules=(SMALL,), schema=THING)).approvals.submit(AGENT, "thing", {"m": 5})
    held = await under(BOOK).approvals.submit(AGENT, "thing", {"m": 5})
    assert held.status is Status.PENDING


async def test_t01_a_rules_approval_is_of_exactly_that_payload(under: Under) -> None:
    desk = under(BOOK)
    small, large = await ask(desk, 5), await ask(desk, 500)
    with pytest.raises(Conflict):
        await desk.approvals.redeem(AGENT, small.id, large.digest)
    with pytest.raises(NotAllowed, match="is pending, not approved"):
        await desk.approvals.redeem(AGENT, large.id, small.digest)


async def test_a_rule_decides_over_stages_that_nobody_is_in(under: Under) -> None:
    desk = under(a_rulebook(Policy(stages=(Stage(("group:nobody",)),)), rules=(SMALL,)))
    assert (await ask(desk, 5)).status is Status.APPROVED
    assert (await told(desk, await ask(desk, 50), "ana approves")).startswith("not_allowed")
