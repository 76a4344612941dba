"""Deciding and cancelling: who may, on exactly what, how often, and what it leaves behind."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from desk_samples import AGENT, ANA, BO, CY, LUNCH, Clock, Said, hour, said, say, views
from samples import START

from mcp_hitl.desk import Desk
from mcp_hitl.desk.transactions.decide import MAX_COMMENT
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState, Status
from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK, Established, Principal
from mcp_hitl.domain.values.errors import AlreadyResolved, Conflict, HitlError, Invalid, NotAllowed, NotFound
from mcp_hitl.flows.counter import value_of

pytestmark = pytest.mark.anyio
NOBODY = "apr_01jd9xkm8g0123456789abcdef"


async def events(desk: Desk, approval: Approval) -> list[Event]:
    return [recorded.entry.event for recorded in (await desk.approvals.trail(AGENT, approval.id)).entries]


async def test_a_yes_approves(desk: Desk, clock: Clock) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    clock.advance(hour())
    approved = await say(desk, said(ANA, opened, comment="Enjoy"))
    assert approved == await desk.approvals.get(AGENT, opened.id)
    assert (approved.status, approved.resolved_at, approved.cooldown_until) == (
        Status.APPROVED,
        START + hour(),
        None,
    )
    (decision,) = approved.decisions
    assert (decision.approver, decision.established) == ("os:ana", "os-user")
    assert (decision.verdict, decision.comment, decision.assurance) == (Verdict.APPROVE, "Enjoy", Assurance.LOCAL)
    assert (decision.revision, decision.stage, decision.at) == (1, 1, START + hour())


async def test_an_answer_to_one_stage_does_not_count_for_the_next(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "staged", {"a": 1})
    assert len((await say(desk, said(ANA, opened, stage=1))).decisions) == 1
    assert len((await say(desk, said(BO, opened, stage=1))).decisions) == 2, "together in one stage"
    with pytest.raises(Conflict, match="in stage 1 and is now in stage 2"):
        await say(desk, said(CY, opened, stage=1))
    assert len((await desk.approvals.get(AGENT, opened.id)).decisions) == 2
    assert (await say(desk, said(CY, opened, stage=2))).status is Status.APPROVED


async def test_what_deciding_returns_is_what_is_stored(desk: Desk, clock: Clock) -> None:
    opened = {kind: await desk.approvals.submit(AGENT, kind, {"a": 1}) for kind in ("staged", "form", "action")}
    counter = await desk.approvals.submit(AGENT, "counter", {})
    words: list[Said] = [
        said(ANA, opened["staged"], comment="One of two"),
        said(BO, opened["staged"], looked=timedelta(microseconds=1_234_567)),
        said(CY, opened["staged"], Verdict.REJECT, comment="Not like this", nonce="n"),
        said(ANA, opened["form"], answer={"cost_center": "CC-1"}, comment=" "),
        said(ANA, opened["action"], Verdict.REJECT),
        said(ANA, counter, answer={"amount": 2.5}),
    ]
    for word in words:
        clock.advance(hour())
        assert await say(desk, word) == await desk.approvals.get(AGENT, word.approval_id)


async def test_a_no_rejects_and_starts_the_kinds_cooldown(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    rejected = await say(desk, said(ANA, opened, Verdict.REJECT, comment="Too much"))
    assert (rejected.status, rejected.cooldown_until) == (Status.REJECTED, START + hour(24))
    assert rejected.decisions[0].verdict is Verdict.REJECT


async def test_the_trail_has_one_entry_for_each_thing_that_happened(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "form", {"a": 1})
    answer = {"cost_center": "CANARY-1"}
    await say(desk, said(ANA, opened, comment="CANARY-2", answer=answer))
    trail = (await desk.approvals.trail(AGENT, opened.id)).entries
    assert [recorded.seq for recorded in trail] == [1, 2, 3]
    assert [recorded.entry.event for recorded in trail] == [Event.OPENED, Event.DECIDED, Event.APPROVED]
    decided, approved = trail[1].entry, trail[2].entry
    assert (decided.actor, decided.established, decided.assurance) == ("os:ana", "os-user", Assurance.LOCAL)
    assert decided.data == {
        "verdict": "approve",
        "stage": 1,
        "digest": opened.digest,
        "comment": content_digest("CANARY-2"),
        "answer": content_digest(answer),
    }
    assert (approved.actor, approved.data) == ("os:ana", {"answer": content_digest(answer)})
    assert "CANARY" not in str(trail)


@pytest.mark.parametrize("again", [Verdict.APPROVE, Verdict.REJECT])
async def test_whoever_comes_second_is_told_who_was_first_and_changes_nothing(desk: Desk, again: Verdict) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    approved = await say(desk, said(ANA, opened))
    with pytest.raises(AlreadyResolved) as refused:
        await say(desk, said(BO, opened, again))
    assert "was approved by os:ana at 2026-11-22T12:35:13.120Z" in str(refused.value)
    assert await desk.approvals.get(AGENT, opened.id) == approved
    assert await events(desk, opened) == [Event.OPENED, Event.DECIDED, Event.APPROVED]


async def test_the_same_forms_answer_again_returns_the_first_outcome(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    first = await say(desk, said(ANA, opened, nonce="form-1"))
    assert await say(desk, said(ANA, opened, nonce="form-1")) == first
    for other in (said(ANA, opened, Verdict.REJECT, nonce="form-1"), said(BO, opened, nonce="form-1")):
        with pytest.raises(Conflict, match="os:ana said approve"):
            await say(desk, other)
    with pytest.raises(AlreadyResolved):
        await say(desk, said(ANA, opened, nonce="form-2"))
    assert await events(desk, opened) == [Event.OPENED, Event.DECIDED, Event.APPROVED]


async def test_a_replayed_answer_while_others_are_still_needed_changes_nothing(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "pair", {"a": 1})
    first = await say(desk, said(ANA, opened, nonce="form-1"))
    assert await say(desk, said(ANA, opened, nonce="form-1")) == first
    assert (first.status, len(first.decisions)) == (Status.PENDING, 1)


async def test_a_nonce_of_another_approval_means_nothing_here(desk: Desk) -> None:
    one = await desk.approvals.submit(AGENT, "action", {"n": 1})
    two = await desk.approvals.submit(AGENT, "action", {"n": 2})
    await say(desk, said(ANA, one, nonce="form-1"))
    assert (await say(desk, said(ANA, two, Verdict.REJECT, nonce="form-1"))).status is Status.REJECTED


@pytest.mark.parametrize("shown", [{"revision": 2}, {"revision": 0}, {"digest": "sha256:" + "0" * 64}])
async def test_a_decision_on_anything_but_what_is_there_now_is_a_conflict(desk: Desk, shown: dict[str, Any]) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    with pytest.raises(Conflict, match="Look at it again before you decide"):
        await say(desk, said(ANA, opened, **shown))
    assert await desk.approvals.get(AGENT, opened.id) == opened
    assert await events(desk, opened) == [Event.OPENED]


@pytest.mark.parametrize("verdict", Verdict)
async def test_a_decision_after_the_deadline_is_refused_as_expired(desk: Desk, clock: Clock, verdict: Verdict) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    clock.advance(timedelta(days=7))
    with pytest.raises(AlreadyResolved, match=r"was expired at 2026-11-29T12:35:13\.120Z"):
        await say(desk, said(ANA, opened, verdict))
    left = await desk.approvals.get(AGENT, opened.id)
    assert (left.seen_at(clock()), left.decisions) == (Status.EXPIRED, ())


async def test_a_decision_in_the_last_millisecond_counts(desk: Desk, clock: Clock) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    clock.advance(timedelta(days=7, milliseconds=-1))
    assert (await say(desk, said(ANA, opened))).status is Status.APPROVED


@pytest.mark.parametrize(
    ("kind", "assurance", "message"),
    [
        ("action", Assurance.NONE, "accepts no decision that was made without asking a person (unattended = false)"),
        ("strict", Assurance.NONE, "accepts no decision that was made without asking a person"),
        (
            "strict",
            Assurance.LOCAL,
            "session; this decision would have local. It has to be decided by somebody whom the policy names, after "
            "they have signed in",
        ),
    ],
)
async def test_less_assurance_than_the_policy_asks_for_is_refused(
    desk: Desk, kind: str, assurance: Assurance, message: str
) -> None:
    opened = await desk.approvals.submit(AGENT, kind, {"a": 1})
    with pytest.raises(NotAllowed) as refused:
        await say(desk, said(ANA, opened, assurance=assurance))
    assert message in str(refused.value)
    assert await desk.approvals.get(AGENT, opened.id) == opened


@pytest.mark.parametrize(
    ("kind", "assurance"),
    [("action", Assurance.SESSION), ("strict", Assurance.STEP_UP), ("unattended", Assurance.NONE)],
)
async def test_the_assurance_is_recorded_with_the_decision(desk: Desk, kind: str, assurance: Assurance) -> None:
    opened = await desk.approvals.submit(AGENT, kind, {"a": 1})
    approved = await say(desk, said(ANA, opened, assurance=assurance))
    assert (approved.status, approved.decisions[0].assurance) == (Status.APPROVED, assurance)
    assert (await desk.approvals.trail(ANA, opened.id)).entries[1].entry.assurance is assurance


@pytest.mark.parametrize("stranger", [AGENT, CY, LOOPBACK])
async def test_somebody_whom_the_policy_does_not_name_cannot_decide(desk: Desk, stranger: Principal) -> None:
    opened = await desk.approvals.submit(AGENT, "pair", {"a": 1})
    for verdict in Verdict:
        with pytest.raises(NotAllowed, match=r"at this stage\. It needs one of"):
            await say(desk, said(stranger, opened, verdict))
    assert await desk.approvals.get(AGENT, opened.id) == opened


async def test_two_of_finance_then_a_manager(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "staged", {"a": 1})
    with pytest.raises(NotAllowed):
        await say(desk, said(CY, opened))  # not the managers' turn yet
    assert (await say(desk, said(ANA, opened))).status is Status.PENDING
    with pytest.raises(Conflict, match="You have already decided"):
        await say(desk, said(ANA, opened))
    second = await say(desk, said(BO, opened))
    assert (second.status, views(desk).shape(second)["stage"]) == (Status.PENDING, 2)
    with pytest.raises(NotAllowed):
        await say(desk, said(ANA, opened))  # finance's turn is over
    approved = await say(desk, said(CY, opened))
    assert approved.status is Status.APPROVED
    assert [(one.approver, one.stage) for one in approved.decisions] == [("os:ana", 1), ("os:bo", 1), ("os:cy", 2)]
    assert await events(desk, opened) == [Event.OPENED, *[Event.DECIDED] * 3, Event.APPROVED]


async def test_a_manager_can_reject_what_finance_wanted(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "staged", {"a": 1})
    await say(desk, said(ANA, opened))
    await say(desk, said(BO, opened))
    rejected = await say(desk, said(CY, opened, Verdict.REJECT))
    assert (rejected.status, len(rejected.decisions)) == (Status.REJECTED, 3)


async def test_t20_the_same_approver_in_two_processes_at_once_decides_once(desk: Desk, elsewhere: Desk) -> None:
    for number in range(25):
        opened = await desk.approvals.submit(AGENT, "pair", {"n": number})
        told: list[str] = []

        async def decide(at: Desk, opened: Approval = opened, told: list[str] = told) -> None:
            try:
                told.append((await say(at, said(ANA, opened))).status.value)
            except HitlError as error:
                told.append(error.code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(decide, desk)
            tasks.start_soon(decide, elsewhere)
        assert sorted(told) == ["conflict", "pending"]
        after = await desk.approvals.get(ANA, opened.id)
        assert (after.status, len(after.decisions)) == (Status.PENDING, 1)
        assert await events(desk, opened) == [Event.OPENED, Event.DECIDED]


async def test_yes_and_no_in_two_processes_at_once_resolve_once(desk: Desk, elsewhere: Desk) -> None:
    for number in range(25):
        opened = await desk.approvals.submit(AGENT, "action", {"n": number})
        told: list[str] = []

        async def decide(
            at: Desk, who: Principal, verdict: Verdict, opened: Approval = opened, told: list[str] = told
        ) -> None:
            try:
                told.append((await say(at, said(who, opened, verdict))).status.value)
            except AlreadyResolved as error:
                told.append(str(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(decide, desk, ANA, Verdict.APPROVE)
            tasks.start_soon(decide, elsewhere, BO, Verdict.REJECT)
            tasks.start_soon(decide, desk, CY, Verdict.REJECT)
        after = await desk.approvals.get(ANA, opened.id)
        assert told.count(after.status.value) == 1
        assert sum(f"was {after.status.value} by {after.decisions[0].approver}" in line for line in told) == 2
        assert len(after.decisions) == 1
        assert len(await events(desk, opened)) == 3


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("x" * (MAX_COMMENT + 1), "comment must have at most 2,000 characters."),
        ("a\0b", "comment contains a NUL"),
        ("a\udfff", "comment contains half of a surrogate pair"),
    ],
)
async def test_t34_a_comment_that_cannot_be_kept_is_refused_and_nothing_is_decided(
    desk: Desk, comment: str, message: str
) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    for verdict in Verdict:
        with pytest.raises(Invalid) as refused:
            await say(desk, said(ANA, opened, verdict, comment=comment))
        assert str(refused.value).startswith(message)
    with pytest.raises(Invalid):
        await desk.approvals.cancel(AGENT, opened.id, comment)
    assert await desk.approvals.get(AGENT, opened.id) == opened


@pytest.mark.parametrize("nothing", ["", "  ", "\n\t"])
async def test_an_empty_comment_is_none(desk: Desk, nothing: str) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    approved = await say(desk, said(ANA, opened, comment=nothing))
    assert approved.decisions[0].comment is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "answer lacks the field 'cost_center'."),
        ({}, "answer lacks the field 'cost_center'."),
        ({"cost_center": 42}, "answer.cost_center must be text."),
        ({"cost_center": "42", "extra": 1}, "answer has a field that is not allowed here."),
    ],
)
async def test_an_answer_that_does_not_fit_decides_nothing(desk: Desk, answer: Any, message: str) -> None:
    opened = await desk.approvals.submit(AGENT, "form", {"a": 1})
    with pytest.raises(Invalid) as refused:
        await say(desk, said(ANA, opened, answer=answer))
    assert str(refused.value) == message
    assert await desk.approvals.get(AGENT, opened.id) == opened
    assert await events(desk, opened) == [Event.OPENED]


async def test_an_answer_is_kept_with_the_approval(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "question", {"question": "Which colour?"})
    answered = await say(desk, said(ANA, opened, answer={"answer": "Blue"}))
    assert (answered.status, answered.answer) == (Status.APPROVED, {"answer": "Blue"})


async def test_whoever_rejects_need_not_fill_in_the_form(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "form", {"a": 1})
    rejected = await say(desk, said(ANA, opened, Verdict.REJECT, answer={"cost_center": 42}))
    assert (rejected.status, rejected.answer) == (Status.REJECTED, None)


async def test_an_answer_without_a_form_is_refused(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    with pytest.raises(Invalid, match="has no form"):
        await say(desk, said(ANA, opened, answer={"amount": 1}))
    assert (await say(desk, said(ANA, opened, answer={}))).answer is None


async def test_an_answered_counter_counts_once_and_tells_everybody_the_same(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "counter", {})
    words = said(ANA, opened, answer={"amount": 5}, nonce="form-1")
    first = await say(desk, words)
    assert first.outcome.state is OutcomeState.SUCCEEDED
    assert first.outcome.result == {"counter": 5, "increased_by": 5}
    assert await say(desk, words) == first
    with pytest.raises(AlreadyResolved):
        await say(desk, replace(words, nonce="form-2"))
    assert await desk.read(value_of) == 5
    trail = (await desk.approvals.trail(AGENT, opened.id)).entries
    assert [recorded.entry.event for recorded in trail] == [
        Event.OPENED,
        Event.DECIDED,
        Event.APPROVED,
        Event.SUCCEEDED,
    ]
    assert (trail[-1].entry.actor, trail[-1].entry.data) == ("system", {"result": content_digest(first.outcome.result)})


async def test_counters_add_up_exactly_and_may_go_down(desk: Desk) -> None:
    for amount, stands in ((0.1, 0.1), (0.2, 0.3), (-1.3, -1), (1, 0)):
        opened = await desk.approvals.submit(AGENT, "counter", {})
        approved = await say(desk, said(ANA, opened, answer={"amount": amount}))
        assert approved.outcome.result == {"counter": stands, "increased_by": amount}


async def test_a_counter_that_was_turned_down_or_cancelled_counts_nothing(desk: Desk) -> None:
    rejected = await desk.approvals.submit(AGENT, "counter", {})
    assert (await say(desk, said(ANA, rejected, Verdict.REJECT))).outcome.state is OutcomeState.NONE
    cancelled = await desk.approvals.submit(AGENT, "counter", {})
    await desk.approvals.cancel(AGENT, cancelled.id)
    assert await desk.read(value_of) == 0


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        (1e15, "The counter cannot go beyond"),
        (-1e15, "The counter cannot go beyond"),
        (1e-20, "the counter must have at most 15 significant digits"),
        (1e-40, "the counter must have at most 15 significant digits"),
        (1e300, "The counter cannot go beyond"),
        (123456789012345.6, "amount must have at most 15 significant digits"),
        (10**20, "answer.amount is an integer beyond"),
        (float("nan"), "answer.amount is not a finite number"),
    ],
)
async def test_an_effect_that_fails_undoes_the_decision_with_it(desk: Desk, amount: float, message: str) -> None:
    first = await desk.approvals.submit(AGENT, "counter", {})
    await say(desk, said(ANA, first, answer={"amount": 1 if amount > 0 else -1}))
    before = await desk.read(value_of)
    opened = await desk.approvals.submit(AGENT, "counter", {})
    with pytest.raises(Invalid) as refused:
        await say(desk, said(ANA, opened, answer={"amount": amount}))
    assert str(refused.value).startswith(message)
    assert await desk.read(value_of) == before
    assert await desk.approvals.get(AGENT, opened.id) == opened
    assert await events(desk, opened) == [Event.OPENED]


async def test_a_decision_whose_entry_cannot_be_written_is_not_made(desk: Desk, file: Path) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    with closing(sqlite3.connect(file)) as db:
        db.execute(
            "CREATE TRIGGER no_more BEFORE INSERT ON audit WHEN NEW.event = 'approved' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    with pytest.raises(sqlite3.IntegrityError):
        await say(desk, said(ANA, opened))
    assert await desk.approvals.get(AGENT, opened.id) == opened
    assert await events(desk, opened) == [Event.OPENED]


async def test_its_requester_can_cancel_with_a_reason(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    cancelled = await desk.approvals.cancel(AGENT, opened.id, "Not hungry any more")
    assert (cancelled.status, cancelled.reason, cancelled.resolved_at) == (
        Status.CANCELLED,
        "Not hungry any more",
        START,
    )
    *_, last = (await desk.approvals.trail(AGENT, opened.id)).entries
    assert (last.entry.event, last.entry.actor) == (Event.CANCELLED, "os:agent")
    assert last.entry.data == {"reason": content_digest("Not hungry any more")}


async def test_a_cancellation_needs_no_reason(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    assert (await desk.approvals.cancel(AGENT, opened.id, " ")).reason is None
    assert (await desk.approvals.trail(AGENT, opened.id)).entries[-1].entry.data == {}


@pytest.mark.parametrize("stranger", [ANA, LOOPBACK, Principal("os:agen", Established.OS_USER)])
async def test_nobody_else_can_cancel(desk: Desk, stranger: Principal) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    with pytest.raises(NotAllowed, match="only its requester can cancel"):
        await desk.approvals.cancel(stranger, opened.id)
    assert await desk.approvals.get(AGENT, opened.id) == opened


async def test_what_was_asked_on_loopback_by_nobody_in_particular_can_be_cancelled_at_the_machine(desk: Desk) -> None:
    opened = await desk.approvals.submit(LOOPBACK, "expense", LUNCH)
    assert (await desk.approvals.cancel(ANA, opened.id)).status is Status.CANCELLED


async def test_what_has_ended_cannot_be_cancelled(desk: Desk, clock: Clock) -> None:
    approved = await desk.approvals.submit(AGENT, "action", {"n": 1})
    await say(desk, said(ANA, approved))
    cancelled = await desk.approvals.submit(AGENT, "action", {"n": 2})
    await desk.approvals.cancel(AGENT, cancelled.id)
    overdue = await desk.approvals.submit(AGENT, "action", {"n": 3})
    clock.advance(timedelta(days=7))
    for opened, ending in ((approved, "approved by os:ana"), (cancelled, "cancelled"), (overdue, "expired")):
        with pytest.raises(AlreadyResolved, match=f"was {ending} at"):
            await desk.approvals.cancel(AGENT, opened.id)


async def test_t39_an_approval_of_another_database_is_not_found_here(desk: Desk, foreign: Desk) -> None:
    theirs = await foreign.approvals.submit(AGENT, "expense", LUNCH)
    ours = await desk.approvals.submit(AGENT, "expense", LUNCH)
    assert theirs.digest == ours.digest
    for attempt in (
        lambda: desk.approvals.get(AGENT, theirs.id),
        lambda: say(desk, said(ANA, theirs)),
        lambda: desk.approvals.cancel(AGENT, theirs.id),
        lambda: desk.decisions.lift_cooldown(ANA, theirs.id, assurance=Assurance.LOCAL),
        lambda: desk.approvals.trail(AGENT, theirs.id),
        lambda: desk.approvals.wait(AGENT, theirs.id, seconds=30),
    ):
        with pytest.raises(NotFound):
            await attempt()
    assert (await foreign.approvals.get(AGENT, theirs.id)).status is Status.PENDING
    assert (await desk.approvals.get(AGENT, ours.id)).status is Status.PENDING


@pytest.mark.parametrize("text", ["", "apr_", NOBODY.upper(), NOBODY + "\n", "' OR 1=1 --", "\0", "x" * 1_000_000])
async def test_t39_what_is_no_id_is_not_found_either(desk: Desk, text: str) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    for attempt in (
        lambda: desk.approvals.get(AGENT, text),
        lambda: say(desk, replace(said(ANA, opened), approval_id=text)),
        lambda: desk.approvals.cancel(AGENT, text),
        lambda: desk.decisions.lift_cooldown(ANA, text, assurance=Assurance.LOCAL),
        lambda: desk.approvals.trail(AGENT, text),
        lambda: desk.approvals.wait(AGENT, text, seconds=30),
    ):
        with pytest.raises(NotFound) as refused:
            await attempt()
        assert refused.value.code == "not_found"
