"""Asking: what is stored, and which approval a request that comes again belongs to."""

import json
from datetime import timedelta
from typing import Any

import anyio
import pytest
from desk_samples import AGENT, ANA, BO, CY, LUNCH, Clock, hour, said, say, views
from samples import INBOX, START

from mcp_hitl.desk import Desk
from mcp_hitl.desk.search import MOST_COUNTED
from mcp_hitl.desk.timekeeping import system_clock
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.evidence.chain import content_digest
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.kinds import EXPENSE
from mcp_hitl.domain.policy.policy import Assurance, Policy, Verdict
from mcp_hitl.domain.values.canonical import canonical, digest_of
from mcp_hitl.domain.values.errors import Conflict, Invalid, NotAllowed
from mcp_hitl.flows.counter import value_of

pytestmark = pytest.mark.anyio


async def events(desk: Desk, approval: Approval) -> list[Event]:
    return [recorded.entry.event for recorded in (await desk.approvals.trail(AGENT, approval.id)).entries]


async def rejected(desk: Desk, **options: Any) -> Approval:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH, **options)
    return await say(desk, said(ANA, opened, Verdict.REJECT, comment="Too much"))


async def test_a_request_is_stored_as_it_was_asked(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "action", {"b": 1.0, "a": "x"}, claim="Deploy", dedup_key="k")
    assert opened == await desk.approvals.get(AGENT, opened.id)
    assert (opened.status, opened.revision, opened.asked) == (Status.PENDING, 1, 1)
    assert (opened.kind, opened.title, opened.claim, opened.requester) == ("action", "Deploy", "Deploy", "os:agent")
    assert opened.payload == {"a": "x", "b": 1}
    assert opened.digest == "sha256:cdab067e9f3beb32d1252cfd63e492592fecbf591b0d08cadb24bb17f3864246"
    assert (opened.requested_at, opened.expires_at) == (START, START + timedelta(days=7))
    assert opened.policy == Policy()
    assert opened.form is None
    assert await events(desk, opened) == [Event.OPENED]


async def test_the_fields_of_a_payload_keep_the_order_that_it_was_asked_in(desk: Desk) -> None:
    sent = {"to": "ana", "mail": {"subject": "Hi", "body": "…"}, "cc": [{"z": 1, "a": 2}]}
    opened = await desk.approvals.submit(AGENT, "action", sent)
    assert json.dumps((await desk.approvals.get(AGENT, opened.id)).payload) == json.dumps(sent)
    assert opened.digest == digest_of(canonical(sent, what="payload"))


async def test_t10_the_same_fields_in_another_order_are_the_same_request(desk: Desk) -> None:
    first = await desk.approvals.submit(AGENT, "action", {"to": "ana", "body": {"z": 1, "a": 2}})
    again = await desk.approvals.submit(AGENT, "action", {"body": {"a": 2, "z": 1}, "to": "ana"})
    assert (again.id, again.asked, list(again.payload)) == (first.id, 2, ["to", "body"])


async def test_a_questions_form_is_copied_in_the_order_that_it_was_asked(desk: Desk) -> None:
    fields = {"zeta": {"type": "string"}, "alpha": {"type": "boolean"}}
    opened = await desk.approvals.submit(AGENT, "question", {"question": "?", "form": {"properties": fields}})
    stored = await desk.approvals.get(AGENT, opened.id)
    assert stored.form is not None
    assert list(stored.form["properties"]) == ["zeta", "alpha"]


async def test_the_opening_entry_says_who_asked_for_what_by_digest(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    (recorded,) = (await desk.approvals.trail(AGENT, opened.id)).entries
    assert recorded.seq == 1
    assert (recorded.entry.actor, recorded.entry.established, recorded.entry.at) == ("os:agent", "os-user", START)
    assert recorded.entry.data == {
        "kind": "expense",
        "payload": opened.digest,
        "policy": content_digest(opened.policy.as_json()),
        "expires_at": "2026-11-29T12:35:13.120Z",
        "title": content_digest(opened.title),
        "definition": EXPENSE.definition,
        "code": EXPENSE.code,
    }
    assert "Lunch" not in str(recorded)


@pytest.mark.parametrize(
    ("kind", "payload", "options", "message"),
    [
        ("unknown", {}, {}, "There is no such kind. Use one of: action, counter, expense"),
        ("expense", {**LUNCH, "amount": "50"}, {}, "payload.amount must be a number."),
        ("action", {"x": "y" * 70_000}, {}, "payload has 70,008 bytes"),
        ("action", {"x": "\0"}, {}, "payload.x contains a NUL"),
        ("action", {}, {"claim": "\0"}, "title contains a NUL"),
        ("action", {}, {"claim": "\ud800"}, "title contains half of a surrogate"),
        ("action", {}, {"dedup_key": ""}, "dedup_key must have 1 to 200 characters."),
        ("action", {}, {"dedup_key": "k" * 201}, "dedup_key must have 1 to 200 characters."),
        ("action", {}, {"dedup_key": "\0"}, "dedup_key contains a NUL"),
        ("action", {"x": 1e20}, {}, "payload.x is an integer beyond"),
    ],
)
async def test_what_does_not_fit_is_refused_and_nothing_is_stored(
    desk: Desk, kind: str, payload: Any, options: Any, message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await desk.approvals.submit(AGENT, kind, payload, **options)
    assert str(refused.value).startswith(message)
    assert (await desk.search.pending(AGENT)).total == 0


async def test_t10_after_a_lost_reply_the_same_request_joins_the_same_approval(desk: Desk) -> None:
    first = await desk.approvals.submit(AGENT, "expense", LUNCH)
    again = await desk.approvals.submit(AGENT, "expense", {**LUNCH, "amount": 49.990})
    assert again.id == first.id
    assert (first.asked, again.asked) == (1, 2)
    assert (await desk.search.pending(AGENT)).total == 1
    assert await events(desk, first) == [Event.OPENED, Event.ASKED_AGAIN]


@pytest.mark.parametrize("ending", ["approved", "rejected", "cancelled", "expired"])
async def test_t10_the_same_key_joins_the_same_approval_in_any_status(desk: Desk, clock: Clock, ending: str) -> None:
    first = await desk.approvals.submit(AGENT, "expense", LUNCH, dedup_key="lunch-1")
    match ending:
        case "approved":
            await say(desk, said(ANA, first))
        case "rejected":
            await say(desk, said(ANA, first, Verdict.REJECT))
        case "cancelled":
            await desk.approvals.cancel(AGENT, first.id)
        case _:
            clock.advance(timedelta(days=8))
    clock.advance(timedelta(days=2))
    again = await desk.approvals.submit(AGENT, "expense", LUNCH, dedup_key="lunch-1")
    assert (again.id, again.asked) == (first.id, 2)
    assert again.seen_at(clock()).value == ending


async def test_t10_the_counters_outcome_is_told_to_whoever_asks_again_by_key(desk: Desk) -> None:
    first = await desk.approvals.submit(AGENT, "counter", {}, dedup_key="c")
    await say(desk, said(ANA, first, answer={"amount": 5}))
    again = await desk.approvals.submit(AGENT, "counter", {}, dedup_key="c")
    assert again.outcome.result == {"counter": 5, "increased_by": 5}
    assert await desk.read(value_of) == 5


async def test_the_same_key_with_another_payload_is_a_conflict(desk: Desk) -> None:
    first = await desk.approvals.submit(AGENT, "expense", LUNCH, dedup_key="k")
    with pytest.raises(Conflict) as refused:
        await desk.approvals.submit(AGENT, "expense", {**LUNCH, "amount": 50}, dedup_key="k")
    assert first.id in str(refused.value)
    assert (await desk.approvals.get(AGENT, first.id)).asked == 1
    assert await events(desk, first) == [Event.OPENED]


async def test_a_key_belongs_to_its_requester_and_kind(desk: Desk) -> None:
    one = await desk.approvals.submit(AGENT, "action", LUNCH, dedup_key="k")
    two = await desk.approvals.submit(BO, "action", LUNCH, dedup_key="k")
    three = await desk.approvals.submit(AGENT, "expense", LUNCH, dedup_key="k")
    assert len({one.id, two.id, three.id}) == 3


async def test_equal_payloads_join_only_for_the_same_requester_and_kind(desk: Desk) -> None:
    one = await desk.approvals.submit(AGENT, "expense", LUNCH)
    others = [
        await desk.approvals.submit(BO, "expense", LUNCH),
        await desk.approvals.submit(AGENT, "action", LUNCH),
        await desk.approvals.submit(AGENT, "expense", {**LUNCH, "description": "lunch"}),
    ]
    assert len({one.id, *(other.id for other in others)}) == 4


async def test_a_keyless_request_does_not_join_one_that_has_a_key_nor_the_other_way_round(desk: Desk) -> None:
    keyed = await desk.approvals.submit(AGENT, "expense", LUNCH, dedup_key="k")
    keyless = await desk.approvals.submit(AGENT, "expense", LUNCH)
    other_key = await desk.approvals.submit(AGENT, "expense", LUNCH, dedup_key="k2")
    assert len({keyed.id, keyless.id, other_key.id}) == 3


async def test_an_equal_payload_is_a_new_request_once_the_first_was_approved_or_cancelled(desk: Desk) -> None:
    approved = await desk.approvals.submit(AGENT, "expense", LUNCH)
    await say(desk, said(ANA, approved))
    cancelled = await desk.approvals.submit(AGENT, "expense", LUNCH)
    await desk.approvals.cancel(AGENT, cancelled.id)
    third = await desk.approvals.submit(AGENT, "expense", LUNCH)
    assert len({approved.id, cancelled.id, third.id}) == 3


async def test_an_equal_payload_is_a_new_request_once_the_first_has_expired(desk: Desk, clock: Clock) -> None:
    first = await desk.approvals.submit(AGENT, "expense", LUNCH)
    clock.advance(timedelta(days=7))
    second = await desk.approvals.submit(AGENT, "expense", LUNCH)
    assert second.id > first.id
    assert second.asked == 1


@pytest.mark.parametrize(("kind", "payload"), [("question", {"question": "Why?"}), ("counter", {})])
async def test_questions_join_only_by_key_and_know_no_cooldown(desk: Desk, kind: str, payload: Any) -> None:
    first = await desk.approvals.submit(AGENT, kind, payload)
    second = await desk.approvals.submit(AGENT, kind, payload)
    assert first.id != second.id
    turned_down = await say(desk, said(ANA, second, Verdict.REJECT))
    assert turned_down.cooldown_until is None
    third = await desk.approvals.submit(AGENT, kind, payload)
    assert third.id not in {first.id, second.id}


async def test_t23_asking_fifty_times_after_a_no_is_one_rejected_approval(desk: Desk, clock: Clock) -> None:
    no = await rejected(desk)
    assert no.cooldown_until == START + hour(24)
    for number in range(50):
        clock.advance(timedelta(minutes=1))
        again = await desk.approvals.submit(AGENT, "expense", LUNCH)
        assert (again.id, again.status, again.decisions[0].comment) == (no.id, Status.REJECTED, "Too much")
        assert again.asked == number + 2
    assert (await desk.search.pending(AGENT)).total == 0
    assert await events(desk, no) == [Event.OPENED, Event.DECIDED, Event.REJECTED, *[Event.ASKED_AGAIN] * 50]


async def test_t23_a_fresh_key_does_not_lead_around_a_cooldown(desk: Desk) -> None:
    no = await rejected(desk, dedup_key="one")
    assert (await desk.approvals.submit(AGENT, "expense", LUNCH, dedup_key="two")).id == no.id
    assert (await desk.approvals.submit(AGENT, "expense", LUNCH)).id == no.id


async def test_a_cooldown_is_the_requesters_own_and_ends(desk: Desk, clock: Clock) -> None:
    no = await rejected(desk)
    assert (await desk.approvals.submit(BO, "expense", LUNCH)).id != no.id
    clock.advance(hour(24) - timedelta(milliseconds=1))
    assert (await desk.approvals.submit(AGENT, "expense", LUNCH)).id == no.id
    clock.advance(timedelta(milliseconds=1))
    assert (await desk.approvals.submit(AGENT, "expense", LUNCH)).id != no.id


async def test_an_approver_can_lift_a_cooldown_once(desk: Desk) -> None:
    no = await rejected(desk)
    lifted = await desk.decisions.lift_cooldown(ANA, no.id, assurance=Assurance.LOCAL)
    assert lifted.cooldown_until is None
    assert lifted.status is Status.REJECTED
    *_, last = (await desk.approvals.trail(ANA, no.id)).entries
    assert (last.entry.event, last.entry.actor) == (Event.COOLDOWN_LIFTED, "os:ana")
    assert last.entry.data == {"until": "2026-11-23T12:35:13.120Z"}
    assert (await desk.approvals.submit(AGENT, "expense", LUNCH)).id != no.id
    with pytest.raises(Conflict, match="has no cooldown"):
        await desk.decisions.lift_cooldown(ANA, no.id, assurance=Assurance.LOCAL)


async def test_a_cooldown_that_is_over_or_never_was_cannot_be_lifted(desk: Desk, clock: Clock) -> None:
    no = await rejected(desk)
    clock.advance(hour(24))
    pending = await desk.approvals.submit(AGENT, "expense", LUNCH)
    for approval in (no, pending):
        with pytest.raises(Conflict, match="has no cooldown"):
            await desk.decisions.lift_cooldown(ANA, approval.id, assurance=Assurance.LOCAL)


async def test_only_somebody_who_may_decide_can_lift_a_cooldown(desk: Desk) -> None:
    opened = await desk.approvals.submit(AGENT, "pair", {"a": 1})
    no = await say(desk, said(ANA, opened, Verdict.REJECT))
    for stranger in (AGENT, CY):
        with pytest.raises(NotAllowed, match="can lift its cooldown"):
            await desk.decisions.lift_cooldown(stranger, no.id, assurance=Assurance.LOCAL)
    assert (await desk.decisions.lift_cooldown(BO, no.id, assurance=Assurance.LOCAL)).cooldown_until is None


async def test_t10_equal_requests_at_once_from_two_processes_are_one(desk: Desk, elsewhere: Desk) -> None:
    for number in range(20):
        ids: list[str] = []

        async def ask(at: Desk, number: int = number, ids: list[str] = ids) -> None:
            ids.append((await at.approvals.submit(AGENT, "action", {"n": number})).id)
            ids.append((await at.approvals.submit(AGENT, "action", {"n": -number - 1}, dedup_key=f"k{number}")).id)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, desk)
            tasks.start_soon(ask, elsewhere)
        assert len(ids) == 4 and len(set(ids)) == 2
    assert (await desk.search.pending(AGENT)).total == 40


async def test_pages_lead_through_everything_that_is_pending(desk: Desk, clock: Clock) -> None:
    opened: list[str] = []
    for number in range(5):
        clock.advance(timedelta(seconds=1))
        opened.append((await desk.approvals.submit(AGENT, "action", {"n": number})).id)
    await desk.approvals.submit(AGENT, "counter", {})
    seen: list[str] = []
    cursor: str | None = None
    for expected in (2, 2, 1):
        page = await desk.search.pending(ANA, kind="action", limit=2, cursor=cursor)
        assert (len(page.approvals), page.total, page.total_capped) == (expected, 5, False)
        seen += [approval.id for approval in page.approvals]
        cursor = page.next_cursor
    assert seen == opened
    assert cursor is None
    assert (await desk.search.pending(ANA)).total == 6


async def test_a_page_is_told_with_a_cursor_only_where_more_follows(desk: Desk) -> None:
    for number in range(2):
        await desk.approvals.submit(AGENT, "action", {"n": number})
    whole = views(desk).page_shape(await desk.search.pending(ANA))
    assert set(whole) == {"approvals", "total", "total_capped"}
    assert [approval["payload"] for approval in whole["approvals"]] != []
    part = await desk.search.pending(ANA, limit=1)
    assert views(desk).page_shape(part)["next_cursor"] == part.next_cursor == part.approvals[0].id


async def test_counting_stops_at_a_thousand_and_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_COUNTED == 1_000
    monkeypatch.setattr("mcp_hitl.desk.search.MOST_COUNTED", 3)
    for number in range(4):
        await desk.approvals.submit(AGENT, "action", {"n": number})
    page = await desk.search.pending(ANA, limit=1)
    assert (page.total, page.total_capped) == (3, True)


@pytest.mark.parametrize("cursor", ["", "1", "' OR 1=1", "apr_"])
async def test_a_cursor_that_is_none_of_ours_is_refused(desk: Desk, cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor must be a next_cursor"):
        await desk.search.pending(ANA, cursor=cursor)


async def test_what_the_desk_tells_of_an_approval_is_as_of_its_clock(desk: Desk, clock: Clock) -> None:
    opened = await desk.approvals.submit(AGENT, "expense", LUNCH)
    assert views(desk).shape(opened)["status"] == "pending"
    assert INBOX in views(desk).shape(opened)["next"]
    clock.advance(timedelta(days=7))
    assert views(desk).shape(opened)["status"] == "expired"
    assert "is expired" in views(desk).summary(opened)


def test_the_systems_clock_has_the_stores_precision() -> None:
    now = system_clock()
    assert now.microsecond % 1_000 == 0
    assert now.utcoffset() == timedelta()
