"""What every store promises. Written against the protocol alone; each backend runs all of it."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import pytest
from samples import START, a_decision, an_approval

from mcp_hitl.domain.approval import Approval, Outcome, OutcomeState, Status
from mcp_hitl.domain.audit import Entry, Event
from mcp_hitl.domain.errors import Unavailable
from mcp_hitl.domain.ids import approval_id
from mcp_hitl.domain.policy import Assurance, Policy, Stage, Verdict
from mcp_hitl.store.protocol import Store, Transaction, View

pytestmark = pytest.mark.anyio
WEEK_LATER = START + timedelta(days=7)


def numbered(number: int, **changes: Any) -> Approval:
    """A pending approval whose id is the `number`th in order."""
    return an_approval(id=approval_id(START, number), **changes)


def an_entry(approval: Approval, event: Event = Event.OPENED, **changes: Any) -> Entry:
    return replace(Entry(approval=approval.id, event=event, revision=1, actor="os:ana", at=START), **changes)


async def insert(store: Store, *approvals: Approval) -> None:
    def work(tx: Transaction) -> None:
        for approval in approvals:
            tx.insert(approval)

    await store.write(work)


async def append(store: Store, *entries: Entry) -> None:
    def work(tx: Transaction) -> None:
        for entry in entries:
            tx.append(entry)

    await store.write(work)


FULL = numbered(
    1,
    claim="Deploy „now“",
    payload={"z": 1, "a": [True, None, {"ü": "漢字 😀"}], "amount": 0.1},
    status=Status.REJECTED,
    revision=3,
    policy=Policy(
        stages=(Stage(("group:finance", "os:ana"), 2), Stage(("local",))),
        rejections=2,
        assurance=Assurance.SESSION,
        unattended=True,
    ),
    form={"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "number"}}, "required": ["z"]},
    dedup_key="key '; DROP TABLE approvals; --",
    cooldown_until=START + timedelta(hours=24),
    resolved_at=START + timedelta(milliseconds=1),
    asked=5,
    answer={"z": "später", "a": 5},
    reason="no\nreason",
    outcome=Outcome(OutcomeState.FAILED, {"code": 7}, "It broke"),
)


@pytest.mark.parametrize("approval", [FULL, numbered(2)], ids=["every field", "only what is required"])
async def test_an_approval_comes_back_as_it_was_inserted(store: Store, approval: Approval) -> None:
    await insert(store, approval)
    assert await store.read(lambda view: view.get(approval.id)) == approval


async def test_fields_of_forms_and_answers_keep_their_order(store: Store) -> None:
    await insert(store, FULL)
    found = await store.read(lambda view: view.get(FULL.id))
    assert found is not None and found.form is not None and found.answer is not None
    assert list(found.form["properties"]) == ["z", "a"]
    assert list(found.answer) == ["z", "a"]


async def test_what_is_not_there_is_none(store: Store) -> None:
    assert await store.read(lambda view: view.get("apr_none")) is None
    assert await store.write(lambda tx: tx.lock("apr_none")) is None
    assert await store.read(lambda view: view.keyed("os:ana", "expense", "k")) is None
    assert await store.read(lambda view: view.entries("apr_none")) == []
    assert await store.read(lambda view: view.last_seq()) == 0


async def test_lock_returns_what_get_does(store: Store) -> None:
    await insert(store, FULL)
    assert await store.write(lambda tx: tx.lock(FULL.id)) == FULL


async def test_an_id_is_given_once(store: Store) -> None:
    await insert(store, numbered(1, title="first"))
    with pytest.raises(Exception, match="approvals"):
        await insert(store, numbered(1, title="second"))
    found = await store.read(lambda view: view.get(numbered(1).id))
    assert found is not None and found.title == "first"


async def test_a_decision_comes_back_with_every_field(store: Store) -> None:
    approval = numbered(1)
    decision = a_decision(
        "os:bo",
        Verdict.REJECT,
        approval=approval.id,
        revision=1,
        stage=2,
        established="loopback",
        comment="Zu teuer 💸",
        assurance=Assurance.STEP_UP,
        nonce="n-1",
        at=START + timedelta(milliseconds=7),
    )
    await insert(store, approval)
    assert await store.write(lambda tx: tx.add_decision(decision))
    found = await store.read(lambda view: view.get(approval.id))
    assert found is not None and found.decisions == (decision,)


async def test_t20_an_approver_decides_once_in_each_stage_of_each_revision(store: Store) -> None:
    approval = numbered(1)
    first = a_decision("os:ana", approval=approval.id, comment="first")
    await insert(store, approval)

    def decide(tx: Transaction) -> list[bool]:
        return [
            tx.add_decision(first),
            tx.add_decision(replace(first, verdict=Verdict.REJECT, comment="second", nonce="other")),
            tx.add_decision(replace(first, approver="os:bo")),
            tx.add_decision(replace(first, stage=2)),
            tx.add_decision(replace(first, revision=2)),
        ]

    assert await store.write(decide) == [True, False, True, True, True]
    assert await store.write(lambda tx: tx.add_decision(first)) is False
    found = await store.read(lambda view: view.get(approval.id))
    assert found is not None
    assert [(d.approver, d.stage, d.revision) for d in found.decisions] == [
        ("os:ana", 1, 1),
        ("os:bo", 1, 1),
        ("os:ana", 2, 1),
        ("os:ana", 1, 2),
    ]
    assert found.decisions[0] == first


async def test_a_decision_needs_its_approval(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await store.write(lambda tx: tx.add_decision(a_decision(approval="apr_none")))


async def test_an_approval_is_resolved_once(store: Store) -> None:
    await insert(store, numbered(1))
    target = numbered(1).id
    later = START + timedelta(hours=1)

    def first(tx: Transaction) -> bool:
        return tx.resolve(
            target, Status.REJECTED, START, answer={"a": 1}, reason="no", cooldown_until=START + timedelta(hours=2)
        )

    assert await store.write(first) is True
    for status in set(Status) - {Status.PENDING}:
        assert await store.write(lambda tx, to=status: tx.resolve(target, to, later, reason="late")) is False
    found = await store.read(lambda view: view.get(target))
    assert found == replace(
        numbered(1),
        status=Status.REJECTED,
        resolved_at=START,
        answer={"a": 1},
        reason="no",
        cooldown_until=START + timedelta(hours=2),
    )
    assert await store.write(lambda tx: tx.resolve("apr_none", Status.APPROVED, START)) is False


async def test_an_outcome_is_recorded_also_on_what_is_resolved(store: Store) -> None:
    await insert(store, FULL)
    outcome = Outcome(OutcomeState.SUCCEEDED, {"counter": 12, "increased_by": 0.5}, None)
    await store.write(lambda tx: tx.set_outcome(FULL.id, outcome))
    found = await store.read(lambda view: view.get(FULL.id))
    assert found == replace(FULL, outcome=outcome)


async def test_asking_again_is_counted(store: Store) -> None:
    await insert(store, numbered(1), FULL := numbered(2, status=Status.REJECTED, resolved_at=START))
    for _ in range(3):
        await store.write(lambda tx: tx.count_ask(FULL.id))
    found = await store.read(lambda view: (view.get(numbered(1).id), view.get(FULL.id)))
    assert [approval and approval.asked for approval in found] == [1, 4]


async def test_a_cooldown_can_be_lifted(store: Store) -> None:
    await insert(store, FULL)
    await store.write(lambda tx: tx.lift_cooldown(FULL.id))
    assert await store.read(lambda view: view.get(FULL.id)) == replace(FULL, cooldown_until=None)


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
        found = await store.read(lambda view, r=requester, k=kind: view.keyed(r, k, "k"))
        assert found is not None and found.id == numbered(number).id
    assert await store.read(lambda view: view.keyed("os:agent", "expense", "K")) is None


async def test_a_key_finds_its_approval_in_any_status(store: Store) -> None:
    await insert(store, FULL)
    assert FULL.dedup_key is not None
    key = FULL.dedup_key
    assert await store.read(lambda view: view.keyed(FULL.requester, FULL.kind, key)) == FULL


async def test_the_newest_equal_approval_in_a_status_is_found(store: Store) -> None:
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
    )

    async def latest(status: Status) -> str | None:
        found = await store.read(lambda view: view.latest_equal("os:agent", "expense", equal.digest, status))
        return found and found.id

    assert await latest(Status.PENDING) == numbered(2).id  # one without a key
    assert await latest(Status.REJECTED) == numbered(8).id  # with or without
    assert await latest(Status.APPROVED) is None


async def _listed(store: Store, **options: Any) -> list[str]:
    choice: dict[str, Any] = {"kind": None, "after": None, "limit": 100, **options}
    now = choice.pop("now", START)
    return [approval.id for approval in await store.read(lambda view: view.pending(now, **choice))]


async def test_pages_of_what_is_pending_follow_each_other_in_order_of_id(store: Store) -> None:
    await insert(store, *(numbered(number) for number in (5, 1, 4, 2, 3)))
    ids = [numbered(number).id for number in range(1, 6)]
    assert await _listed(store) == ids
    assert await _listed(store, limit=2) == ids[:2]
    assert await _listed(store, after=ids[1], limit=2) == ids[2:4]
    assert await _listed(store, after=ids[3], limit=2) == ids[4:]
    assert await _listed(store, after=ids[4]) == []


async def test_a_page_goes_on_where_it_was_also_when_its_last_one_was_decided(store: Store) -> None:
    await insert(store, *(numbered(number) for number in range(1, 5)))
    await store.write(lambda tx: tx.resolve(numbered(2).id, Status.APPROVED, START))
    assert await _listed(store, after=numbered(2).id) == [numbered(3).id, numbered(4).id]


async def test_only_what_can_still_be_decided_is_pending(store: Store) -> None:
    await insert(
        store,
        numbered(1),
        numbered(2, expires_at=START),
        numbered(3, expires_at=START + timedelta(milliseconds=1)),
        *(
            numbered(10 + place, status=status, resolved_at=START)
            for place, status in enumerate(set(Status) - {Status.PENDING})
        ),
    )
    assert await _listed(store) == [numbered(1).id, numbered(3).id]
    assert await _listed(store, now=WEEK_LATER) == []
    assert await store.read(lambda view: view.count_pending(START, kind=None, most=100)) == 2


async def test_what_is_pending_can_be_asked_for_by_kind(store: Store) -> None:
    await insert(store, numbered(1), numbered(2, kind="action"), numbered(3, kind="action", expires_at=START))
    assert await _listed(store, kind="action") == [numbered(2).id]
    assert await _listed(store, kind="unknown") == []
    assert await store.read(lambda view: view.count_pending(START, kind="action", most=100)) == 1


async def test_counting_stops_where_it_is_told_to(store: Store) -> None:
    await insert(store, *(numbered(number) for number in range(7)))
    counts = await store.read(lambda view: [view.count_pending(START, kind=None, most=most) for most in (3, 7, 100)])
    assert counts == [3, 7, 7]


async def test_entries_come_back_in_order_with_every_field(store: Store) -> None:
    mine, another = numbered(1), numbered(2)
    decided = an_entry(
        mine,
        Event.DECIDED,
        revision=2,
        actor="os:ünï",
        established="os-user",
        assurance=Assurance.LOCAL,
        at=START + timedelta(milliseconds=3),
        data={"verdict": "approve", "stage": 1, "comment": None},
    )
    await append(store, an_entry(mine), an_entry(another), decided)
    recorded = await store.read(lambda view: view.entries(mine.id))
    assert [(one.seq, one.entry) for one in recorded] == [(1, an_entry(mine)), (3, decided)]


async def test_the_feed_tells_what_is_new_in_order_and_without_gaps(store: Store) -> None:
    one, two = numbered(1), numbered(2)
    await append(store, an_entry(one), an_entry(two))
    await append(store, an_entry(one, Event.APPROVED))
    assert await store.read(lambda view: view.last_seq()) == 3
    news = await store.read(lambda view: [list(view.news(after, 2)) for after in (0, 2, 3)])
    assert [[tuple(item) for item in some] for some in news] == [
        [(1, one.id), (2, two.id)],
        [(3, one.id)],
        [],
    ]


async def test_the_counter_begins_at_nothing_and_adds_exactly(store: Store) -> None:
    assert await store.read(lambda view: view.counter()) == 0
    stands = [await store.write(lambda tx, a=amount: tx.increase_counter(Decimal(a))) for amount in ("0.1", "0.2")]
    assert stands == [Decimal("0.1"), Decimal("0.3")]
    tiny, with_tiny = Decimal("1e-40"), "0.3000000000000000000000000000000000000001"
    assert await store.write(lambda tx: tx.increase_counter(tiny)) == Decimal(with_tiny)
    assert await store.write(lambda tx: tx.increase_counter(Decimal("-" + with_tiny))) == 0
    assert await store.read(lambda view: view.counter()) == 0


async def test_work_that_raises_leaves_nothing_behind(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.insert(numbered(1))
        tx.append(an_entry(numbered(1)))
        tx.increase_counter(Decimal(5))
        tx.add_decision(a_decision(approval=numbered(1).id))
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        await store.write(work)
    left = await store.read(lambda view: (view.get(numbered(1).id), view.last_seq(), view.counter()))
    assert left == (None, 0, 0)


class Held:
    """Keeps the store's writer busy, so that what is written meanwhile queues up."""

    def __init__(self) -> None:
        """Hold from the moment that `hold` runs until `let_go`."""
        self._started, self._release = threading.Event(), threading.Event()

    def hold(self, _: View) -> None:
        self._started.set()
        assert self._release.wait(20)

    async def is_held(self) -> None:
        assert await anyio.to_thread.run_sync(self._started.wait, 20)

    def let_go(self) -> None:
        self._release.set()


async def test_work_that_raises_takes_nobody_with_it(store: Store) -> None:
    raised: list[int] = []

    async def one(number: int) -> None:
        def work(tx: Transaction) -> None:
            tx.insert(numbered(number))
            tx.append(an_entry(numbered(number)))
            if number % 3 == 0:
                raise ValueError("no")

        try:
            await store.write(work)
        except ValueError:
            raised.append(number)

    held = Held()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.write, held.hold)
        await held.is_held()
        for number in range(12):
            tasks.start_soon(one, number)
        await anyio.wait_all_tasks_blocked()
        held.let_go()
    assert sorted(raised) == [0, 3, 6, 9]
    kept = [numbered(number).id for number in range(12) if number % 3]
    assert await _listed(store) == kept
    news = await store.read(lambda view: view.news(0, 100))
    assert [seq for seq, _ in news] == list(range(1, 9))  # no gap where work was undone
    assert sorted(approval for _, approval in news) == kept


async def test_a_read_cannot_write(store: Store) -> None:
    def work(view: View) -> None:
        view.insert(numbered(1))  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    with pytest.raises(Exception):  # noqa: B017 # each store has its own way to refuse
        await store.read(work)
    assert await _listed(store) == []


async def test_a_read_sees_what_was_written_before_it(store: Store, other: Store) -> None:
    for number in range(20):
        await insert(store, numbered(number))
        assert await other.read(lambda view, n=number: view.get(numbered(n).id)) is not None


async def test_changed_wakes_for_a_commit_of_its_own(store: Store) -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.changed)
            await anyio.wait_all_tasks_blocked()
            await insert(store, numbered(1))


async def test_changed_wakes_for_a_commit_of_another(store: Store, other: Store) -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.changed)
            await anyio.wait_all_tasks_blocked()
            await insert(other, numbered(1))


async def test_changed_returns_at_once_for_what_was_committed_since_the_last_call(store: Store, other: Store) -> None:
    with anyio.fail_after(20):
        for number, writer in enumerate((store, other, store)):
            await insert(writer, numbered(number))
            await store.changed()


async def test_changed_waits_while_nothing_happens(store: Store, other: Store) -> None:
    with anyio.move_on_after(0.2) as while_nothing_happens:
        await store.changed()
    assert while_nothing_happens.cancelled_caught
    await other.read(lambda view: view.last_seq())
    with anyio.move_on_after(0.2) as while_others_read:
        await store.changed()
    assert while_others_read.cancelled_caught


async def test_closing_finishes_the_writes_that_are_queued(open_store: Callable[[], Store]) -> None:
    store, held = open_store(), Held()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.write, held.hold)
        await held.is_held()
        for number in range(70):
            tasks.start_soon(insert, store, numbered(number))
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(store.close)
        await anyio.wait_all_tasks_blocked()
        held.let_go()
    again = open_store()
    assert len(await _listed(again)) == 70
    await again.close()


async def test_a_closed_store_says_so_instead_of_waiting_for_ever(open_store: Callable[[], Store]) -> None:
    store = open_store()
    await store.close()
    await store.close()
    with anyio.fail_after(20):
        with pytest.raises(Unavailable, match="closed"):
            await insert(store, numbered(1))
        with pytest.raises(Unavailable, match="closed"):
            await store.read(lambda view: view.last_seq())


async def test_what_was_written_is_there_after_opening_again(open_store: Callable[[], Store]) -> None:
    store = open_store()
    await insert(store, FULL)
    await store.close()
    again = open_store()
    assert await again.read(lambda view: view.get(FULL.id)) == FULL
    await again.close()


async def test_t20_two_stores_at_once_keep_one_decision_of_an_approver(store: Store, other: Store) -> None:
    for number in range(25):
        approval = numbered(number)
        await insert(store, approval)
        added: list[bool] = []

        async def decide(by: Store, target: str = approval.id, into: list[bool] = added) -> None:
            into.append(await by.write(lambda tx: tx.add_decision(a_decision(approval=target))))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(decide, store)
            tasks.start_soon(decide, other)
        assert sorted(added) == [False, True]


async def test_two_stores_at_once_resolve_once_and_share_one_sequence(store: Store, other: Store) -> None:
    await insert(store, *(numbered(number) for number in range(25)))
    won: list[bool] = []

    async def resolve(by: Store, number: int) -> None:
        def work(tx: Transaction) -> bool:
            approval = tx.lock(numbered(number).id)
            assert approval is not None
            if not tx.resolve(approval.id, Status.APPROVED, START):
                return False
            tx.append(an_entry(approval, Event.APPROVED))
            return True

        won.append(await by.write(work))

    async with anyio.create_task_group() as tasks:
        for number in range(25):
            tasks.start_soon(resolve, store, number)
            tasks.start_soon(resolve, other, number)
    assert (won.count(True), won.count(False)) == (25, 25)
    news = await store.read(lambda view: view.news(0, 100))
    assert [seq for seq, _ in news] == list(range(1, 26))
