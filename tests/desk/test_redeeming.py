"""What was approved is done once, exactly as approved, while it is valid, and never blindly again."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest
from desk_samples import ANA as ANA_AT_THE_MACHINE
from desk_samples import KINDS, Clock, hour, said, say, views
from team_samples import AGENT, FINANCE, LADDER, MANAGERS, PAIR, PEOPLE, a_rulebook, after, edited, person, told

from mcp_hitl.config.location import Location
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.seen import Seen
from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.kinds import BUILT_IN
from mcp_hitl.domain.policy.people import People
from mcp_hitl.domain.policy.policy import Assurance, Policy, Stage, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK, Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.policy.rules import Rule
from mcp_hitl.domain.values.canonical import JsonObject, canonical, digest_of
from mcp_hitl.domain.values.errors import Conflict, HitlError, Invalid, NotAllowed, NotFound, Paused
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import timers_of
from mcp_hitl.store.opening import open_store

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]
ANA, BO, CY = person("ana"), person("bo"), person("cy")
ONE = Policy(stages=(FINANCE,))
WIRE: JsonObject = {"n": 1, "to": {"iban": "DE1", "name": "Bo"}, "tags": ["a", "b"], "urgent": False, "memo": None}


async def approved(desk: Desk, payload: JsonObject | None = None, requester: Principal = AGENT) -> Approval:
    """Something that ana approved."""
    asked = await desk.approvals.submit(requester, "thing", payload or {"n": 1})
    return await say(desk, said(ANA, asked))


async def settled(desk: Desk, who: Principal, approval_id: str, succeeded: bool) -> Approval:
    """What somebody at the machine says that came of it."""
    return await desk.decisions.reconcile(who, approval_id, succeeded, assurance=Assurance.LOCAL)


async def refusal(attempt: Awaitable[object]) -> str:
    """The code of the error with which it was refused."""
    with pytest.raises(HitlError) as refused:
        await attempt
    return refused.value.code


async def test_an_approval_is_redeemed_once_and_its_outcome_reported_once(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(ONE))
    ready = await approved(desk)
    assert "redeem-approval" in views(desk).shape(Seen(ready))["next"]
    clock.advance(hour())
    running = await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    assert running == replace(ready, outcome=Outcome(OutcomeState.RUNNING))
    assert "report-outcome" in views(desk).shape(running)["next"]
    assert await refusal(desk.approvals.redeem(AGENT, ready.id, ready.digest)) == "conflict"
    done = await desk.approvals.report(AGENT, ready.id, True, "Wired as 42")
    assert done.outcome == Outcome(OutcomeState.SUCCEEDED, {"note": "Wired as 42"})
    assert await desk.approvals.report(AGENT, ready.id, True, "Wired as 42") == done  # the same report again
    assert await refusal(desk.approvals.report(AGENT, ready.id, False)) == "conflict"
    assert await refusal(desk.approvals.redeem(AGENT, ready.id, ready.digest)) == "conflict"
    trail = [recorded.entry for recorded in (await desk.approvals.trail(AGENT, ready.id)).entries][3:]
    assert [(entry.event, entry.actor, entry.data) for entry in trail] == [
        (Event.STARTED, "agent", {"digest": ready.digest}),
        (Event.SUCCEEDED, "agent", {"result": content_digest({"note": "Wired as 42"})}),
    ]
    assert (await desk.evidence.verify()).wrong is None


@pytest.mark.parametrize(("note", "error"), [("No funds", "No funds"), (None, "It failed."), ("  ", "It failed.")])
async def test_a_failure_is_reported_with_what_went_wrong(under: Under, note: str | None, error: str) -> None:
    desk = under(a_rulebook(ONE))
    ready = await approved(desk)
    await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    failed = await desk.approvals.report(AGENT, ready.id, False, note)
    assert failed.outcome == Outcome(OutcomeState.FAILED, None, error)
    assert await desk.approvals.report(AGENT, ready.id, False, note) == failed
    assert (await desk.approvals.trail(AGENT, ready.id)).entries[-1].entry.event is Event.FAILED


async def test_nothing_is_reported_that_was_not_redeemed(under: Under) -> None:
    desk = under(a_rulebook(ONE))
    ready = await approved(desk)
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 2})
    assert await refusal(desk.approvals.report(AGENT, ready.id, True)) == "conflict"
    assert await refusal(desk.approvals.report(AGENT, asked.id, True)) == "conflict"
    await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    with pytest.raises(Invalid, match="at most"):
        await desk.approvals.report(AGENT, ready.id, True, "x" * 2_001)
    assert (await desk.approvals.get(AGENT, ready.id)).outcome.state is OutcomeState.RUNNING


async def test_only_the_requester_redeems_and_reports(under: Under) -> None:
    desk = under(a_rulebook(ONE))
    ready = await approved(desk)
    for other in (ANA, person("mallory"), LOOPBACK, Principal("local", Established.PROGRAM)):
        assert await refusal(desk.approvals.redeem(other, ready.id, ready.digest)) == "not_allowed"
    await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    for other in (ANA, person("mallory"), LOOPBACK):
        assert await refusal(desk.approvals.report(other, ready.id, True)) == "not_allowed"
    assert (await desk.approvals.get(AGENT, ready.id)).outcome.state is OutcomeState.RUNNING


async def test_a_requester_redeems_from_either_of_their_accounts(under: Under) -> None:
    desk = under(a_rulebook(PAIR))
    asked = await desk.approvals.submit(person("ana.b"), "thing", {"n": 1})
    assert await told(desk, asked, "bo approves") == "stage 1, 1 of 2"
    assert await told(desk, asked, "eve approves") == "approved"
    assert (await desk.approvals.redeem(ANA, asked.id, asked.digest)).outcome.state is OutcomeState.RUNNING


@pytest.mark.parametrize("ending", ["pending", "rejected", "cancelled", "expired", "overdue"])
async def test_only_what_was_approved_is_redeemed(under: Under, clock: Clock, ending: str) -> None:
    desk = under(a_rulebook(ONE))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    match ending:
        case "rejected":
            await say(desk, said(ANA, asked, Verdict.REJECT))
        case "cancelled":
            await desk.approvals.cancel(AGENT, asked.id)
        case "expired":
            clock.advance(timedelta(days=7))
            await timers_of(desk).catch_up()
        case "overdue":
            clock.advance(timedelta(days=7))
        case _:
            pass
    with pytest.raises(NotAllowed, match=rf"is {'expired' if ending == 'overdue' else ending}, not approved"):
        await desk.approvals.redeem(AGENT, asked.id, asked.digest)


async def test_what_is_carried_out_here_is_not_redeemed(under: Under) -> None:
    desk = under(Rulebook(kinds=KINDS))
    lunch = await desk.approvals.submit(AGENT, "expense", {"amount": 5, "currency": "USD", "description": "Lunch"})
    lunch = await say(desk, said(ANA_AT_THE_MACHINE, lunch))
    question = await desk.approvals.submit(AGENT, "question", {"question": "Blue?"})
    question = await say(desk, said(ANA_AT_THE_MACHINE, question, answer={"answer": "Yes"}))
    for one in (lunch, question):
        assert await refusal(desk.approvals.redeem(AGENT, one.id, one.digest)) == "not_allowed"
        assert "redeem-approval" not in views(desk).shape(one)["next"]
    assert await refusal(desk.approvals.report(AGENT, lunch.id, True)) == "not_allowed"


async def test_an_approval_of_a_kind_that_is_not_configured_any_more_is_not_redeemed(under: Under) -> None:
    ready = await approved(under(a_rulebook(ONE)))
    assert (
        await refusal(under(Rulebook(kinds=BUILT_IN)).approvals.redeem(AGENT, ready.id, ready.digest)) == "not_allowed"
    )


async def test_an_id_from_elsewhere_is_not_found(under: Under, foreign: Desk) -> None:
    foreign.rulebook = a_rulebook(ONE)
    theirs = await approved(foreign)
    desk = under(a_rulebook(ONE))
    with pytest.raises(NotFound):
        await desk.approvals.redeem(AGENT, theirs.id, theirs.digest)
    with pytest.raises(NotFound):
        await desk.approvals.report(AGENT, theirs.id, True)
    with pytest.raises(NotFound):
        await settled(desk, ANA, theirs.id, True)


def changed_anywhere(value: Any) -> list[Any]:
    """The payload with one thing changed: every field, to another value, another type, or gone; one more field."""
    match value:
        case dict():
            held: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
            gone = [{key: kept for key, kept in held.items() if key != name} for name in held]
            inside = [{**held, name: one} for name in held for one in changed_anywhere(held[name])]
            return [*gone, *inside, {**held, "extra": 1}]
        case list():
            items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
            return [items[:-1], items[::-1], [*items, "c"]]
        case bool():
            return [not value, int(value), None]
        case int():
            return [value + 1, -value, str(value)]
        case str():
            return [value + " ", value.lower() + "\u200b", None]
        case _:
            return ["", False, 0]


CHANGED = changed_anywhere(WIRE)


@pytest.mark.parametrize("payload", CHANGED, ids=str)
async def test_t01_nothing_but_what_was_approved_is_redeemed(under: Under, payload: JsonObject) -> None:
    desk = under(a_rulebook(ONE))
    ready = await approved(desk, WIRE)
    other = digest_of(canonical(payload, what="payload"))
    with pytest.raises(Conflict, match="another payload"):
        await desk.approvals.redeem(AGENT, ready.id, other)
    assert (await desk.approvals.get(AGENT, ready.id)).outcome.state is OutcomeState.NONE
    assert (await desk.approvals.redeem(AGENT, ready.id, ready.digest)).outcome.state is OutcomeState.RUNNING


def test_t01_every_field_is_among_the_changes() -> None:
    assert len(CHANGED) >= 20
    assert digest_of(canonical(WIRE, what="")) not in {digest_of(canonical(one, what="")) for one in CHANGED}


async def test_t01_a_digest_of_an_earlier_revision_is_not_enough(under: Under) -> None:
    desk = under(a_rulebook(ONE))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    now = await edited(desk, ANA, asked, {"n": 2})
    await say(desk, said(person("bo"), now))
    assert await refusal(desk.approvals.redeem(AGENT, asked.id, asked.digest)) == "conflict"
    assert (await desk.approvals.redeem(AGENT, asked.id, now.digest)).payload == {"n": 2}


@pytest.mark.on_both
async def test_t08_fifty_who_redeem_at_once_have_one_effect(under: Under, database: Location, clock: Clock) -> None:
    book = a_rulebook(ONE)
    first = under(book)
    stores = [open_store(database) for _ in range(4)]
    desks = [first, *(Desk(store, effects=EFFECTS, rulebook=book, clock=clock) for store in stores)]
    for n in range(5):
        ready = await approved(first, {"n": n})
        codes: list[str] = []

        async def redeem(by: Desk, into: list[str] = codes, one: Approval = ready) -> None:
            try:
                await by.approvals.redeem(AGENT, one.id, one.digest)
                into.append("redeemed")
            except HitlError as error:
                into.append(error.code)

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(redeem, desks[number % len(desks)])
        assert (codes.count("redeemed"), codes.count("conflict")) == (1, 49)
        events = [recorded.entry.event for recorded in (await first.approvals.trail(AGENT, ready.id)).entries]
        assert events.count(Event.STARTED) == 1
    for store in stores:
        await store.close()


async def test_t13_an_approval_is_used_within_its_validity(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(replace(ONE, valid_for=timedelta(days=1))))
    ready, late = await approved(desk), await approved(desk, {"n": 2})
    clock.advance(timedelta(days=1) - timedelta(milliseconds=1))
    assert (await desk.approvals.redeem(AGENT, ready.id, ready.digest)).outcome.state is OutcomeState.RUNNING
    clock.advance(timedelta(milliseconds=1))
    with pytest.raises(NotAllowed, match=r"was valid for 1 day, until 2026-11-23T12:35:13\.120Z"):
        await desk.approvals.redeem(AGENT, late.id, late.digest)
    assert (await desk.approvals.get(AGENT, late.id)).outcome.state is OutcomeState.NONE
    done = await desk.approvals.report(AGENT, ready.id, True)  # what was begun in time may end
    assert done.outcome.state is OutcomeState.SUCCEEDED


async def test_t13_a_validity_is_the_one_that_it_was_approved_under(under: Under, clock: Clock) -> None:
    ready = await approved(under(a_rulebook(replace(ONE, valid_for=timedelta(days=1)))))
    clock.advance(timedelta(days=2))
    assert await refusal(under(a_rulebook(ONE)).approvals.redeem(AGENT, ready.id, ready.digest)) == "not_allowed"


async def test_t13_a_clock_that_is_set_back_makes_nothing_valid_again(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(replace(ONE, valid_for=timedelta(days=1))))
    ready = await approved(desk)
    clock.advance(timedelta(days=1))
    await desk.approvals.submit(AGENT, "thing", {"n": 9})  # the latest instant is recorded
    for back in (hour(), hour(23), timedelta(days=30)):
        clock.advance(-back)
        assert await refusal(desk.approvals.redeem(AGENT, ready.id, ready.digest)) == "not_allowed"
        clock.advance(back)


async def test_t13_after_a_clock_that_ran_ahead_a_person_lets_the_clock_count_again(under: Under, clock: Clock) -> None:
    desk = under(a_rulebook(replace(ONE, valid_for=timedelta(days=1))))
    clock.advance(timedelta(days=3650))
    await desk.approvals.submit(AGENT, "thing", {"n": 9})
    clock.advance(-timedelta(days=3650))
    ready = await approved(desk)
    assert await refusal(desk.approvals.redeem(AGENT, ready.id, ready.digest)) == "not_allowed"
    assert await desk.stops.reset_clock(person("cy")) == clock() + timedelta(days=3650)
    assert (await desk.approvals.redeem(AGENT, ready.id, ready.digest)).outcome.state is OutcomeState.RUNNING
    entries = await desk.evidence.entries()
    assert [(one.entry.actor, one.entry.data) for one in entries if one.entry.event is Event.CLOCK_RESET] == [
        ("cy", {"was": "2036-11-19T12:35:13.120Z"})
    ]
    assert (await desk.evidence.verify()).wrong is None


@pytest.mark.parametrize("kind", [None, "thing"])
async def test_t15_the_stop_holds_what_was_approved_before(under: Under, kind: str | None) -> None:
    desk = under(a_rulebook(ONE))
    ready = await approved(desk)
    assert await desk.stops.pause(person("cy"), kind)
    with pytest.raises(Paused, match="emergency stop"):
        await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    assert (await desk.approvals.get(AGENT, ready.id)).outcome.state is OutcomeState.NONE
    assert await desk.stops.resume(person("cy"), kind)
    assert (await desk.approvals.redeem(AGENT, ready.id, ready.digest)).outcome.state is OutcomeState.RUNNING


async def test_t15_what_was_begun_before_the_stop_can_be_reported(under: Under) -> None:
    desk = under(a_rulebook(ONE))
    ready = await approved(desk)
    await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    await desk.stops.pause(person("cy"))
    assert (await desk.approvals.report(AGENT, ready.id, True)).outcome.state is OutcomeState.SUCCEEDED


LEFT = replace(PEOPLE, groups={**PEOPLE.groups, "finance": frozenset({"bo"})})


async def test_t21_a_right_that_was_withdrawn_is_gone_when_somebody_decides(under: Under) -> None:
    asked = await under(a_rulebook(PAIR)).approvals.submit(AGENT, "thing", {"n": 1})
    now = under(a_rulebook(PAIR, LEFT))
    assert (await told(now, asked, "ana approves")).startswith("not_allowed")
    assert (await told(now, asked, "ana edits it to 2")).startswith("not_allowed")
    assert await told(now, asked, "bo approves") == "stage 1, 1 of 2"


async def test_t21_a_right_that_was_withdrawn_is_gone_when_the_action_is_taken(under: Under) -> None:
    ready = await approved(under(a_rulebook(ONE)))
    with pytest.raises(NotAllowed, match="approved by ana, whose right was withdrawn"):
        await under(a_rulebook(ONE, LEFT)).approvals.redeem(AGENT, ready.id, ready.digest)
    given_back = under(a_rulebook(ONE))
    assert (await given_back.approvals.redeem(AGENT, ready.id, ready.digest)).outcome.state is OutcomeState.RUNNING


async def test_t21_who_is_mapped_to_another_account_since_is_told_so(under: Under) -> None:
    before = under(a_rulebook(ONE, People(groups={"finance": frozenset({"ana.b"})})))
    asked = await before.approvals.submit(AGENT, "thing", {"n": 1})
    await say(before, said(person("ana.b"), asked))
    now = under(a_rulebook(ONE))
    with pytest.raises(NotAllowed, match=r"was approved by ana\.b, who counts as ana since\. Ask for a new approval"):
        await now.approvals.redeem(AGENT, asked.id, asked.digest)


async def test_t21_one_of_several_rights_that_is_gone_is_one_too_few(under: Under) -> None:
    desk = under(a_rulebook(LADDER))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await told(desk, asked, "bo approves")
    assert await told(desk, asked, "cy approves") == "approved"
    without_cy = replace(PEOPLE, groups={**PEOPLE.groups, "managers": frozenset({"ana"})})
    assert (
        await refusal(under(a_rulebook(LADDER, without_cy)).approvals.redeem(AGENT, asked.id, asked.digest))
        == "not_allowed"
    )


async def test_t21_who_rejected_or_decided_an_earlier_revision_does_not_matter_any_more(under: Under) -> None:
    policy = replace(ONE, rejections=2)
    desk = under(a_rulebook(policy))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await told(desk, asked, "ana rejects")
    await told(desk, asked, "bo approves")
    redeemed = await under(a_rulebook(policy, LEFT)).approvals.redeem(AGENT, asked.id, asked.digest)
    assert redeemed.outcome.state is OutcomeState.RUNNING


async def test_t21_an_approver_by_escalation_keeps_the_right_that_the_ladder_gives(under: Under, clock: Clock) -> None:
    policy = Policy(stages=(Stage(("group:finance",), escalate=(after(24, "group:board"),)),))
    desk = under(a_rulebook(policy))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    clock.advance(hour(24))
    await timers_of(desk).catch_up()
    assert await told(desk, asked, "di approves") == "approved"
    without_board = a_rulebook(policy, replace(PEOPLE, groups={"finance": PEOPLE.groups["finance"]}))
    assert await refusal(under(without_board).approvals.redeem(AGENT, asked.id, asked.digest)) == "not_allowed"
    assert (await desk.approvals.redeem(AGENT, asked.id, asked.digest)).outcome.state is OutcomeState.RUNNING


LARGE = {"properties": {"n": {"minimum": 5_000}}, "required": ["n"]}


def large_ones(*stages: Stage) -> Rulebook:
    """Finance decides; of the large ones whoever is in `stages`."""
    return a_rulebook(ONE, rules=(Rule(name="large", when=LARGE, stages=stages),))


async def test_t21_a_right_to_other_payloads_of_the_kind_is_none_to_this_one(under: Under) -> None:
    before, now = under(large_ones(FINANCE)), large_ones(Stage(("group:board",)))
    large = await before.approvals.submit(AGENT, "thing", {"n": 9_000})
    ready, small = await approved(before, {"n": 9_001}), await approved(before, {"n": 4})
    refused = await told(under(now), large, "bo approves")
    assert (
        refused.startswith("not_allowed")
        and "still decide it under the current policy. Its requester has to cancel it" in refused
    )
    with pytest.raises(NotAllowed, match="approved by ana, whose right was withdrawn"):
        await under(now).approvals.redeem(AGENT, ready.id, ready.digest)
    assert (await under(now).approvals.redeem(AGENT, small.id, small.digest)).outcome.state is OutcomeState.RUNNING


async def test_a_stage_that_was_added_or_moved_takes_no_right_away(under: Under) -> None:
    before, now = (
        under(large_ones(FINANCE)),
        large_ones(MANAGERS, Stage(("cy",), escalate=(after(1, "group:finance"),))),
    )
    large, ready = await before.approvals.submit(AGENT, "thing", {"n": 9_000}), await approved(before, {"n": 9_001})
    assert await told(under(now), large, "bo approves") == "approved"
    assert (await under(now).approvals.redeem(AGENT, ready.id, ready.digest)).outcome.state is OutcomeState.RUNNING


async def test_t21_what_was_erased_is_for_whoever_the_kind_names(under: Under, clock: Clock) -> None:
    ready = await approved(under(large_ones(FINANCE)), {"n": 9_000})
    clock.advance(timedelta(days=400))
    assert await under(large_ones(FINANCE)).evidence.erase(None, older_than=timedelta(days=365)) == 1
    nobody = a_rulebook(Policy(stages=(MANAGERS,)), rules=(Rule(name="any", when={}, stages=(MANAGERS,)),))
    assert await refusal(under(nobody).approvals.redeem(AGENT, ready.id, ready.digest)) == "not_allowed"
    used = await under(large_ones(MANAGERS)).approvals.redeem(AGENT, ready.id, ready.digest)
    assert used.outcome.state is OutcomeState.RUNNING


async def test_a_policy_that_changes_does_not_touch_what_is_pending(under: Under, clock: Clock) -> None:
    asked = await under(a_rulebook(PAIR)).approvals.submit(AGENT, "thing", {"n": 1})
    easier = Policy(stages=(Stage(("group:finance", "mallory")),), unattended=True)
    grown = People(groups={"finance": frozenset({"ana", "bo", "mallory"})})
    now = under(a_rulebook(easier, grown, timeout=hour(1)))
    held = await now.approvals.get(AGENT, asked.id)
    assert (held.policy, held.expires_at) == (asked.policy, asked.expires_at)
    assert (await told(now, asked, "mallory approves")).startswith("not_allowed")
    assert (await told(now, asked, "ana approves unattended")).startswith("not_allowed")
    clock.advance(hour(2))
    assert await told(now, asked, "ana approves") == "stage 1, 1 of 2"
    stricter = under(a_rulebook(Policy(stages=(Stage(("group:finance",), quorum=3),))))
    assert await told(stricter, asked, "bo approves") == "approved"


async def test_a_person_settles_what_the_requester_never_reported(under: Under) -> None:
    desk = under(a_rulebook(ONE))
    ready, other = await approved(desk), await approved(desk, {"n": 2})
    assert await refusal(settled(desk, ANA, ready.id, True)) == "conflict"
    await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    await desk.approvals.redeem(AGENT, other.id, other.digest)
    assert (await settled(desk, ANA, ready.id, True)).outcome == Outcome(OutcomeState.SUCCEEDED)
    assert (await settled(desk, ANA, other.id, False)).outcome == Outcome(OutcomeState.FAILED, None, "It failed.")
    assert await refusal(settled(desk, ANA, ready.id, False)) == "conflict"
    assert (await desk.approvals.trail(AGENT, ready.id)).entries[-1].entry.actor == "ana"
    assert ready.status is Status.APPROVED and (await desk.evidence.verify()).wrong is None


async def test_t22_only_its_approvers_settle_what_nobody_could_tell(under: Under) -> None:
    desk = under(a_rulebook(ONE))
    ready = await approved(desk)
    used = await desk.approvals.redeem(AGENT, ready.id, ready.digest)
    for other in (AGENT, CY):
        with pytest.raises(
            NotAllowed, match=r"can say whether it happened: group:finance\. Ask one of them, in the inbox"
        ):
            await settled(desk, other, ready.id, True)
    without = under(a_rulebook(ONE, replace(PEOPLE, groups={"finance": frozenset({"bo"})})))
    assert await refusal(settled(without, ANA, ready.id, True)) == "not_allowed"
    assert await desk.approvals.get(AGENT, ready.id) == used


async def test_t22_when_its_approvers_have_left_whoever_decides_such_requests_now_settles_it(under: Under) -> None:
    policy = replace(ONE, four_eyes=True)
    before = under(a_rulebook(policy))
    ready = await approved(before)
    await before.approvals.redeem(AGENT, ready.id, ready.digest)
    now = under(a_rulebook(policy, People(groups={"finance": frozenset({"fay", "agent"})})))
    assert await refusal(settled(now, ANA, ready.id, True)) == "not_allowed"
    with pytest.raises(NotAllowed, match="is your own request"):
        await settled(now, AGENT, ready.id, True)
    assert (await settled(now, person("fay"), ready.id, True)).outcome.state is OutcomeState.SUCCEEDED


async def test_t22_of_a_kind_that_is_not_known_here_only_its_own_approvers_settle_it(under: Under) -> None:
    theirs = under(a_rulebook(ONE))
    ready = await approved(theirs)
    await theirs.approvals.redeem(AGENT, ready.id, ready.digest)
    here = under(Rulebook())
    with pytest.raises(NotAllowed, match=r"group:finance\. Ask one of them, under a policy that has the kind 'thing'"):
        await settled(here, ANA, ready.id, True)
    for whoever in (ANA, ANA_AT_THE_MACHINE, LOOPBACK):
        assert await refusal(settled(here, whoever, ready.id, True)) == "not_allowed"
    at_the_machine = under(a_rulebook(Policy()))
    asked = await at_the_machine.approvals.submit(AGENT, "thing", {"n": 2})
    await say(at_the_machine, said(ANA_AT_THE_MACHINE, asked))
    await at_the_machine.approvals.redeem(AGENT, asked.id, asked.digest)
    assert (await settled(here, ANA_AT_THE_MACHINE, asked.id, True)).outcome.state is OutcomeState.SUCCEEDED


async def test_t17_an_outcome_is_settled_with_the_assurance_that_a_decision_takes(under: Under) -> None:
    desk = under(a_rulebook(replace(ONE, assurance=Assurance.SESSION)))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    assert await told(desk, asked, "ana approves signed in") == "approved"
    used = await desk.approvals.redeem(AGENT, asked.id, asked.digest)
    with pytest.raises(NotAllowed, match="requires the assurance session"):
        await settled(desk, BO, asked.id, True)
    assert await desk.approvals.get(AGENT, asked.id) == used
    await desk.decisions.reconcile(BO, asked.id, True, assurance=Assurance.SESSION)
    assert (await desk.approvals.trail(AGENT, asked.id)).entries[-1].entry.assurance is Assurance.SESSION


async def test_t22_nobody_settles_their_own_request_where_another_pair_of_eyes_has_to_look(under: Under) -> None:
    desk = under(a_rulebook(replace(ONE, four_eyes=True)))
    asked = await desk.approvals.submit(ANA, "thing", {"n": 1})
    assert await told(desk, asked, "bo approves") == "approved"
    used = await desk.approvals.redeem(ANA, asked.id, asked.digest)
    with pytest.raises(NotAllowed, match="is your own request; somebody else has to say whether it happened"):
        await settled(desk, ANA, asked.id, False)
    assert await desk.approvals.get(ANA, asked.id) == used
    assert (await settled(desk, BO, asked.id, False)).outcome.state is OutcomeState.FAILED


SMALL = Rule(name="small", when={"properties": {"n": {"maximum": 10}}, "required": ["n"]}, decide=Verdict.APPROVE)
NOW_OTHERWISE: dict[str, dict[str, Any]] = {
    "the rule was withdrawn": {"rules": ()},
    "the rule rejects now": {"rules": (replace(SMALL, decide=Verdict.REJECT),)},
    "an earlier rule rejects it": {"rules": (Rule(name="no", when=SMALL.when, decide=Verdict.REJECT), SMALL)},
    "the rule asks people now": {"rules": (replace(SMALL, decide=None, stages=(FINANCE,)),)},
    "its limits are narrower": {"rules": (replace(SMALL, when={"properties": {"n": {"maximum": 0}}}),)},
    "the schema takes it no more": {
        "rules": (SMALL,),
        "schema": {"type": "object", "properties": {"n": {"type": "string"}}},
    },
}


@pytest.mark.parametrize("how", NOW_OTHERWISE)
async def test_t21_what_a_rule_approved_is_not_used_once_the_policy_no_longer_approves_it(
    under: Under, how: str
) -> None:
    approved = await under(a_rulebook(ONE, rules=(SMALL,))).approvals.submit(AGENT, "thing", {"n": 1})
    now = under(a_rulebook(ONE, **NOW_OTHERWISE[how]))
    with pytest.raises(NotAllowed, match=r"does not approve it any more|rejects it now"):
        await now.approvals.redeem(AGENT, approved.id, approved.digest)
    renamed = under(a_rulebook(ONE, rules=(replace(SMALL, name="of another name"),)))
    used = await renamed.approvals.redeem(AGENT, approved.id, approved.digest)
    assert used.outcome.state is OutcomeState.RUNNING


async def test_t21_what_people_approved_is_not_used_while_a_rule_rejects_it(under: Under) -> None:
    ready = await approved(under(a_rulebook(ONE)))
    never = under(a_rulebook(ONE, rules=(replace(SMALL, decide=Verdict.REJECT),)))
    with pytest.raises(NotAllowed, match="the policy's rule small rejects it now"):
        await never.approvals.redeem(AGENT, ready.id, ready.digest)


async def test_t21_nobody_approves_what_a_rule_rejects_now(under: Under) -> None:
    asked = await under(a_rulebook(ONE)).approvals.submit(AGENT, "thing", {"n": 1})
    never = under(a_rulebook(ONE, rules=(replace(SMALL, decide=Verdict.REJECT),)))
    assert (await told(never, asked, "ana approves")).startswith("not_allowed")
    assert await told(never, asked, "ana rejects") == "rejected"
