"""Approvals: what every store keeps of them, and how it finds them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from samples import START
from store_samples import FULL, found, insert, numbered

from mcp_hitl.domain.approvals.approval import Approval, Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.policy.policy import Policy
from mcp_hitl.store.lists import id_of
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("approval", [FULL, numbered(2)], ids=["every field", "only what is required"])
async def test_an_approval_comes_back_as_it_was_inserted(store: Store, approval: Approval) -> None:
    await insert(store, approval)
    assert await store.read(lambda view: view.approvals.get(approval.id)) == approval


async def test_fields_of_forms_and_answers_keep_their_order(store: Store) -> None:
    await insert(store, FULL)
    found = await store.read(lambda view: view.approvals.get(FULL.id))
    assert found is not None and found.form is not None and found.answer is not None
    assert list(found.form["properties"]) == ["z", "a"]
    assert list(found.answer) == ["z", "a"]


async def test_what_is_not_there_is_none(store: Store) -> None:
    assert await store.read(lambda view: view.approvals.get("apr_none")) is None
    assert await store.write(lambda tx: tx.approvals.lock("apr_none")) is None
    assert await store.read(lambda view: view.approvals.keyed("os:ana", "expense", "k")) is None
    assert await store.read(lambda view: view.log.entries("apr_none")) == []
    assert await store.read(lambda view: view.log.last_seq()) == 0


async def test_lock_returns_what_get_does(store: Store) -> None:
    await insert(store, FULL)
    assert await store.write(lambda tx: tx.approvals.lock(FULL.id)) == FULL


async def test_an_id_is_given_once(store: Store) -> None:
    await insert(store, numbered(1, title="first"))
    with pytest.raises(Exception, match="approvals"):
        await insert(store, numbered(1, title="second"))
    found = await store.read(lambda view: view.approvals.get(numbered(1).id))
    assert found is not None and found.title == "first"


async def test_an_approval_is_resolved_once(store: Store) -> None:
    await insert(store, numbered(1))
    target = numbered(1).id
    later = START + timedelta(hours=1)

    def first(tx: Transaction) -> bool:
        return tx.approvals.resolve(
            target, Status.REJECTED, START, answer={"a": 1}, reason="no", cooldown_until=START + timedelta(hours=2)
        )

    assert await store.write(first) is True
    for status in set(Status) - {Status.PENDING}:
        assert await store.write(lambda tx, to=status: tx.approvals.resolve(target, to, later, reason="late")) is False
    found = await store.read(lambda view: view.approvals.get(target))
    assert found == replace(
        numbered(1),
        status=Status.REJECTED,
        resolved_at=START,
        answer={"a": 1},
        reason="no",
        cooldown_until=START + timedelta(hours=2),
    )
    assert await store.write(lambda tx: tx.approvals.resolve("apr_none", Status.APPROVED, START)) is False


async def test_an_outcome_is_recorded_also_on_what_is_resolved(store: Store) -> None:
    await insert(store, FULL)
    outcome = Outcome(OutcomeState.SUCCEEDED, {"counter": 12, "increased_by": 0.5}, None)
    await store.write(lambda tx: tx.approvals.set_outcome(FULL.id, outcome))
    found = await store.read(lambda view: view.approvals.get(FULL.id))
    assert found == replace(FULL, outcome=outcome)


async def test_an_outcome_is_recorded_where_it_was_what_it_should_have_been(store: Store) -> None:
    one = numbered(1)
    await insert(store, one)
    running, none = Outcome(OutcomeState.RUNNING), (OutcomeState.NONE,)
    assert await store.write(lambda tx: tx.approvals.set_outcome(one.id, running, was=none)) is True
    assert await store.write(lambda tx: tx.approvals.set_outcome(one.id, running, was=none)) is False
    done = Outcome(OutcomeState.SUCCEEDED, {"ü": [1, None]})
    either = (OutcomeState.UNKNOWN, OutcomeState.RUNNING)
    assert await store.write(lambda tx: tx.approvals.set_outcome(one.id, done, was=either)) is True
    assert (await found(store, one)).outcome == done
    assert await store.write(lambda tx: tx.approvals.set_outcome("apr_none", running)) is False


async def test_asking_again_is_counted(store: Store) -> None:
    await insert(store, numbered(1), FULL := numbered(2, status=Status.REJECTED, resolved_at=START))
    for _ in range(3):
        await store.write(lambda tx: tx.approvals.count_ask(FULL.id))
    found = await store.read(lambda view: (view.approvals.get(numbered(1).id), view.approvals.get(FULL.id)))
    assert [approval and approval.asked for approval in found] == [1, 4]


async def test_a_cooldown_can_be_lifted(store: Store) -> None:
    await insert(store, FULL)
    await store.write(lambda tx: tx.approvals.lift_cooldown(FULL.id))
    assert await store.read(lambda view: view.approvals.get(FULL.id)) == replace(FULL, cooldown_until=None)


async def test_a_key_belongs_to_one_requester_and_kind(store: Store) -> None:
    await insert(
        store,
        numbered(1, dedup_key="k"),
        numbered(2, dedup_key="k", requester="os:other"),
        numbered(3, dedup_key="k", kind="action"),
        numbered(4),
        numbered(5),
    )
    with pytest.raises(Exception, match="approvals"):
        await insert(store, numbered(6, dedup_key="k"))
    for number, (requester, kind) in enumerate(
        [("os:agent", "expense"), ("os:other", "expense"), ("os:agent", "action")], start=1
    ):
        found = await store.read(lambda view, r=requester, k=kind: view.approvals.keyed(r, k, "k"))
        assert found is not None and found.id == numbered(number).id
    assert await store.read(lambda view: view.approvals.keyed("os:agent", "expense", "K")) is None


async def test_several_are_found_by_their_ids(store: Store) -> None:
    three = [numbered(number) for number in range(3)]
    await insert(store, *three)
    ids = [numbered(number).id for number in (2, 0, 7)]
    found = await store.read(lambda view: view.approvals.listed(ids))
    assert {id_of(one): one for one in found} == {one.id: one for one in (three[2], three[0])}
    assert await store.read(lambda view: view.approvals.listed([])) == []


async def test_a_key_finds_its_approval_in_any_status(store: Store) -> None:
    await insert(store, FULL)
    assert FULL.dedup_key is not None
    key = FULL.dedup_key
    assert await store.read(lambda view: view.approvals.keyed(FULL.requester, FULL.kind, key)) == FULL


async def test_the_newest_equal_that_is_pending_or_was_rejected_is_found_for_each_requester(store: Store) -> None:
    rejected = {"status": Status.REJECTED, "resolved_at": START}
    equal = numbered(0)
    await insert(
        store,
        numbered(1),
        numbered(2),
        numbered(3, dedup_key="k"),
        numbered(4, requester="os:other"),
        numbered(5, kind="action"),
        numbered(6, payload={"amount": 51}),
        numbered(7, **rejected),
        numbered(8, **rejected, dedup_key="k2"),
        numbered(9, status=Status.APPROVED, resolved_at=START),
    )

    async def ids(*requesters: str) -> set[str]:
        found = await store.read(lambda view: view.approvals.equal(requesters, "expense", equal.digest))
        return {one.id for one in found}

    of_agent = {numbered(2).id, numbered(8).id}  # pending: one without a key; rejected: with or without
    assert await ids("os:agent") == of_agent
    assert await ids("os:agent", "os:other", "os:nobody") == of_agent | {numbered(4).id}
    assert await ids(*(f"os:nobody-{number}" for number in range(300)), "os:agent") == of_agent
    assert await ids() == set()


async def test_what_a_timer_changes_is_kept_while_it_is_pending(store: Store) -> None:
    one = numbered(1, policy=Policy(remind_after=(timedelta(hours=2),)))
    await insert(store, one)
    later = replace(one, stage_since=START, timed_to=START + timedelta(hours=3), escalated=("os:di", "group:x"))
    await store.write(lambda tx: tx.approvals.set_timing(later))
    assert await found(store, one) == later
    just_before = one.expires_at - timedelta(milliseconds=1)
    assert await store.read(lambda view: view.sweeps.due(just_before, 10)) == []
    assert await store.read(lambda view: view.sweeps.due(one.expires_at, 10)) == [one.id]
    await store.write(lambda tx: tx.approvals.resolve(one.id, Status.CANCELLED, START))
    await store.write(lambda tx: tx.approvals.set_timing(one))
    assert (await found(store, one)).escalated == ("os:di", "group:x")


async def test_progress_comes_back_in_order(store: Store) -> None:
    one = numbered(1, flow="flw_1")
    reports = [Progress(step=f"s{n}", message=f"Ü {n}", at=START + timedelta(seconds=3 - n)) for n in range(3)]
    await insert(store, one, numbered(2))
    for report in reports:
        assert await store.write(lambda tx, told=report: tx.approvals.add_progress(one.id, told, 3))
    assert not await store.write(lambda tx: tx.approvals.add_progress(one.id, reports[0], 3))  # it has three
    assert (await found(store, one)).progress == tuple(reports)
    assert (await found(store, numbered(2))).progress == ()
