"""What every store promises. Written against the protocol alone; each backend runs all of it."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from samples import START, a_decision, an_approval

from mcp_hitl.domain.approvals.approval import Approval, Edit, Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.approvals.resolution import POLICY_STAGE
from mcp_hitl.domain.evidence.audit import Entry, Event, genesis
from mcp_hitl.domain.policy.policy import Assurance, Escalation, Policy, Profile, Stage, Verdict
from mcp_hitl.domain.values.canonical import canonical, digest_of
from mcp_hitl.domain.values.errors import Invalid, Unavailable
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store.statement import Statement
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

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
            tx.approvals.insert(approval)

    await store.write(work)


async def append(store: Store, *entries: Entry) -> None:
    def work(tx: Transaction) -> None:
        for entry in entries:
            tx.log.append(entry)

    await store.write(work)


FULL = numbered(
    1,
    claim="Deploy „now“",
    payload={"z": 1, "a": [True, None, {"ü": "漢字 😀"}], "amount": 0.1},
    status=Status.REJECTED,
    revision=3,
    policy=Policy(
        stages=(
            Stage(("group:finance", "os:ana"), 2, (Escalation(timedelta(hours=1.5), ("group:finance", "os:bo")),)),
            Stage(("local",)),
        ),
        rejections=2,
        assurance=Assurance.SESSION,
        unattended=True,
        four_eyes=True,
        editor_may_approve=False,
        one_stage_each=True,
        valid_for=timedelta(days=1, milliseconds=1),
        remind_after=(timedelta(hours=4), timedelta(days=2)),
        members={"finance": frozenset({"os:ana", "os:ünï"}), "nobody": frozenset()},
    ),
    form={"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "number"}}, "required": ["z"]},
    dedup_key="key '; DROP TABLE approvals; --",
    cooldown_until=START + timedelta(hours=24),
    resolved_at=START + timedelta(milliseconds=1),
    asked=5,
    answer={"z": "später", "a": 5},
    reason="no\nreason",
    stage_since=START + timedelta(milliseconds=2),
    timed_to=START + timedelta(milliseconds=3),
    escalated=("group:finance", "os:bo"),
    flow="flw_1",
    rule="large ones",
    erased_at=START + timedelta(days=365),
    outcome=Outcome(OutcomeState.FAILED, {"code": 7}, "It broke"),
)


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
        looked=timedelta(seconds=1, milliseconds=234),
        at=START + timedelta(milliseconds=7),
    )
    await insert(store, approval)
    assert await store.write(lambda tx: tx.approvals.add_decision(decision))
    found = await store.read(lambda view: view.approvals.get(approval.id))
    assert found is not None and found.decisions == (decision,)


async def test_t20_an_approver_decides_once_in_each_stage_of_each_revision(store: Store) -> None:
    approval = numbered(1)
    first = a_decision("os:ana", approval=approval.id, comment="first")
    await insert(store, approval)

    def decide(tx: Transaction) -> list[bool]:
        return [
            tx.approvals.add_decision(first),
            tx.approvals.add_decision(replace(first, verdict=Verdict.REJECT, comment="second", nonce="other")),
            tx.approvals.add_decision(replace(first, approver="os:bo")),
            tx.approvals.add_decision(replace(first, stage=2)),
            tx.approvals.add_decision(replace(first, revision=2)),
        ]

    assert await store.write(decide) == [True, False, True, True, True]
    assert await store.write(lambda tx: tx.approvals.add_decision(first)) is False
    found = await store.read(lambda view: view.approvals.get(approval.id))
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
        await store.write(lambda tx: tx.approvals.add_decision(a_decision(approval="apr_none")))


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


async def test_a_key_finds_its_approval_in_any_status(store: Store) -> None:
    await insert(store, FULL)
    assert FULL.dedup_key is not None
    key = FULL.dedup_key
    assert await store.read(lambda view: view.approvals.keyed(FULL.requester, FULL.kind, key)) == FULL


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
        found = await store.read(lambda view: view.approvals.latest_equal("os:agent", "expense", equal.digest, status))
        return found and found.id

    assert await latest(Status.PENDING) == numbered(2).id  # one without a key
    assert await latest(Status.REJECTED) == numbered(8).id  # with or without
    assert await latest(Status.APPROVED) is None


async def _listed(store: Store, **options: Any) -> list[str]:
    choice: dict[str, Any] = {"kind": None, "after": None, "limit": 100, **options}
    now = choice.pop("now", START)
    return [approval.id for approval in await store.read(lambda view: view.lists.pending(now, **choice))]


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
    await store.write(lambda tx: tx.approvals.resolve(numbered(2).id, Status.APPROVED, START))
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
    assert await store.read(lambda view: view.lists.count_pending(START, kind=None, most=100)) == 2


async def test_what_is_pending_can_be_asked_for_by_kind(store: Store) -> None:
    await insert(store, numbered(1), numbered(2, kind="action"), numbered(3, kind="action", expires_at=START))
    assert await _listed(store, kind="action") == [numbered(2).id]
    assert await _listed(store, kind="unknown") == []
    assert await store.read(lambda view: view.lists.count_pending(START, kind="action", most=100)) == 1


async def test_counting_stops_where_it_is_told_to(store: Store) -> None:
    await insert(store, *(numbered(number) for number in range(7)))
    counts = await store.read(
        lambda view: [view.lists.count_pending(START, kind=None, most=most) for most in (3, 7, 100)]
    )
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
    recorded = await store.read(lambda view: view.log.entries(mine.id))
    assert [(one.seq, one.entry) for one in recorded] == [(1, an_entry(mine)), (3, decided)]


async def test_entries_are_a_chain_that_begins_with_the_database(store: Store) -> None:
    database = await store.read(lambda view: view.facts.database_id())
    assert await store.read(lambda view: view.log.head()) == (0, genesis(database))
    await append(store, *(an_entry(numbered(number)) for number in range(5)))
    chain = await store.read(lambda view: view.log.chain(0, 100))
    assert [one.seq for one in chain] == [1, 2, 3, 4, 5]
    assert [one.previous for one in chain] == [genesis(database), *(one.hash for one in chain[:-1])]
    assert all(one.intact for one in chain)
    assert await store.read(lambda view: view.log.head()) == (5, chain[-1].hash)
    assert await store.read(lambda view: [view.log.chain(after, 2) for after in (0, 3, 5)]) == [
        chain[:2],
        chain[3:],
        [],
    ]
    assert (await store.read(lambda view: view.log.entries(numbered(3).id))) == [chain[3]]


async def test_work_that_is_undone_leaves_the_head_as_it_was(store: Store) -> None:
    await append(store, an_entry(numbered(1)))
    head = await store.read(lambda view: view.log.head())

    def work(tx: Transaction) -> None:
        tx.log.append(an_entry(numbered(2)))
        assert tx.log.head()[0] == 2
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        await store.write(work)
    assert await store.read(lambda view: view.log.head()) == head
    await append(store, an_entry(numbered(3)))
    (_, second) = await store.read(lambda view: view.log.chain(0, 100))
    assert (second.previous, second.intact) == (head[1], True)


async def test_no_two_databases_have_one_id(store: Store, other: Store, foreign: Store) -> None:
    first = await store.read(lambda view: view.facts.database_id())
    assert await other.read(lambda view: view.facts.database_id()) == first
    assert await foreign.read(lambda view: view.facts.database_id()) != first


async def test_what_an_actor_caused_is_counted_by_event_and_since_when(store: Store) -> None:
    one, other = numbered(1), numbered(2, kind="action")
    await insert(store, one, other)
    await append(
        store,
        an_entry(other, at=START + timedelta(seconds=1)),
        an_entry(one),
        an_entry(one, at=START + timedelta(seconds=1)),
        an_entry(one, Event.ASKED_AGAIN, at=START + timedelta(seconds=2)),
        an_entry(one, Event.DECIDED, at=START + timedelta(seconds=2)),
        an_entry(one, actor="os:bo", at=START + timedelta(seconds=2)),
    )

    async def count(events: list[Event], since: timedelta, actor: str = "os:ana") -> int:
        return await store.read(lambda view: view.log.count_events(actor, "expense", events, START + since))

    both = [Event.OPENED, Event.ASKED_AGAIN]
    assert await count(both, timedelta(milliseconds=-1)) == 3
    assert await count(both, timedelta()) == 2  # not that of the very instant
    assert await count([Event.OPENED], timedelta()) == 1
    assert await count(both, timedelta(), "os:bo") == 1
    assert await count(both, timedelta(seconds=2)) == 0


async def test_the_feed_tells_what_is_new_in_order_and_without_gaps(store: Store) -> None:
    one, two = numbered(1), numbered(2)
    await append(store, an_entry(one), an_entry(two))
    await append(store, an_entry(one, Event.APPROVED))
    assert await store.read(lambda view: view.log.last_seq()) == 3
    news = await store.read(lambda view: [list(view.log.news(after, 2)) for after in (0, 2, 3)])
    assert [[tuple(item) for item in some] for some in news] == [
        [(1, one.id, Event.OPENED), (2, two.id, Event.OPENED)],
        [(3, one.id, Event.APPROVED)],
        [],
    ]


async def test_work_that_raises_leaves_nothing_behind(store: Store) -> None:
    await store.write(lambda tx: tx.execute("CREATE TABLE sent (address TEXT)"))

    def work(tx: Transaction) -> None:
        tx.approvals.insert(numbered(1))
        tx.log.append(an_entry(numbered(1)))
        tx.execute("INSERT INTO sent VALUES (?)", ("bo@example.com",))
        tx.approvals.add_decision(a_decision(approval=numbered(1).id))
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        await store.write(work)
    left = await store.read(
        lambda view: (view.approvals.get(numbered(1).id), view.log.last_seq(), view.execute("SELECT * FROM sent"))
    )
    assert left == (None, 0, [])


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
            tx.approvals.insert(numbered(number))
            tx.log.append(an_entry(numbered(number)))
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
    news = await store.read(lambda view: view.log.news(0, 100))
    assert [seq for seq, *_ in news] == list(range(1, 9))  # no gap where work was undone
    assert sorted(approval for _, approval, _ in news) == kept


async def test_what_one_undid_is_known_to_nobody_who_commits_with_it(store: Store) -> None:
    later = START + timedelta(hours=5)
    told: list[tuple[int, datetime, bool]] = []

    def undone(tx: Transaction) -> None:
        tx.log.append(an_entry(numbered(1)))
        tx.facts.remember(later)
        tx.stops.pause(None, "os:ana", START)
        assert (tx.log.head()[0], tx.facts.mark(), tx.stops.paused("expense")) == (1, later, True)
        raise ValueError("no")

    async def fail() -> None:
        with pytest.raises(ValueError, match=r"^no$"):
            await store.write(undone)

    async def look() -> None:
        told.append(await store.write(lambda tx: (tx.log.head()[0], tx.facts.mark(), tx.stops.paused("expense"))))

    before = await store.read(lambda view: view.facts.mark())
    await fail()  # alone
    await look()
    held = Held()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.write, held.hold)
        await held.is_held()
        for job in (look, fail, look):
            tasks.start_soon(job)
            await anyio.wait_all_tasks_blocked()
        held.let_go()
    assert told == [(0, before, False)] * 3


async def test_what_another_has_changed_is_known_to_the_next_transaction(store: Store, other: Store) -> None:
    def known(view: View) -> tuple[int, datetime, bool]:
        return view.log.head()[0], view.facts.mark(), view.stops.paused("expense")

    for number, one in enumerate((store, other, store), start=1):
        at = START + timedelta(hours=number)

        def change(tx: Transaction, at: datetime = at, number: int = number) -> None:
            tx.log.append(an_entry(numbered(number)))
            tx.facts.remember(at)
            assert tx.stops.pause("expense", "os:ana", at) if number % 2 else tx.stops.resume("expense")
            assert known(tx) == (number, at, bool(number % 2))

        await one.write(change)
        expected = (number, at, bool(number % 2))
        for reader in (store, other):
            assert await reader.read(known) == expected
            assert await reader.write(known) == expected


async def test_a_read_cannot_write(store: Store) -> None:
    def work(view: View) -> None:
        view.approvals.insert(numbered(1))  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    with pytest.raises(Exception):  # noqa: B017 # each store has its own way to refuse
        await store.read(work)
    assert await _listed(store) == []


async def test_a_read_sees_what_was_written_before_it(store: Store, other: Store) -> None:
    for number in range(20):
        await insert(store, numbered(number))
        assert await other.read(lambda view, n=number: view.approvals.get(numbered(n).id)) is not None


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
    await other.read(lambda view: view.log.last_seq())
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
            await store.read(lambda view: view.log.last_seq())


async def test_what_was_written_is_there_after_opening_again(open_store: Callable[[], Store]) -> None:
    store = open_store()
    await insert(store, FULL)
    await store.close()
    again = open_store()
    assert await again.read(lambda view: view.approvals.get(FULL.id)) == FULL
    await again.close()


async def test_t20_two_stores_at_once_keep_one_decision_of_an_approver(store: Store, other: Store) -> None:
    for number in range(25):
        approval = numbered(number)
        await insert(store, approval)
        added: list[bool] = []

        async def decide(by: Store, target: str = approval.id, into: list[bool] = added) -> None:
            into.append(await by.write(lambda tx: tx.approvals.add_decision(a_decision(approval=target))))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(decide, store)
            tasks.start_soon(decide, other)
        assert sorted(added) == [False, True]


async def test_two_stores_at_once_resolve_once_and_share_one_sequence(store: Store, other: Store) -> None:
    await insert(store, *(numbered(number) for number in range(25)))
    won: list[bool] = []

    async def resolve(by: Store, number: int) -> None:
        def work(tx: Transaction) -> bool:
            approval = tx.approvals.lock(numbered(number).id)
            assert approval is not None
            if not tx.approvals.resolve(approval.id, Status.APPROVED, START):
                return False
            tx.log.append(an_entry(approval, Event.APPROVED))
            return True

        won.append(await by.write(work))

    async with anyio.create_task_group() as tasks:
        for number in range(25):
            tasks.start_soon(resolve, store, number)
            tasks.start_soon(resolve, other, number)
    assert (won.count(True), won.count(False)) == (25, 25)
    news = await store.read(lambda view: view.log.news(0, 100))
    assert [seq for seq, *_ in news] == list(range(1, 26))


async def found(store: Store, approval: Approval) -> Approval:
    held = await store.read(lambda view: view.approvals.get(approval.id))
    assert held is not None
    return held


def revised(approval: Approval, payload: Any, comment: str | None = "Less") -> tuple[Approval, Edit]:
    """A next revision with everything changed that an edit may change, and its edit."""
    new = replace(
        approval,
        payload=payload,
        digest=digest_of(canonical(payload, what="payload")),
        revision=approval.revision + 1,
        title="Another title",
        policy=Policy(rejections=3),
        form={"type": "object"},
        rule="another rule",
        stage_since=START + timedelta(hours=1),
        timed_to=START + timedelta(hours=1),
        escalated=(),
    )
    edit = Edit(
        revision=new.revision,
        editor="os:ana",
        comment=comment,
        before=approval.payload,
        after=payload,
        at=START + timedelta(hours=1),
        established="os-user",
    )
    return new, edit


async def test_a_revision_replaces_what_it_may_and_keeps_what_was_there(store: Store) -> None:
    one = numbered(1, escalated=("os:di",))
    await insert(store, one)
    second, first_edit = revised(one, {"amount": 0.1, "ü": None})
    assert await store.write(lambda tx: tx.approvals.revise(second, first_edit)) is True
    third, second_edit = revised(second, one.payload, None)
    assert await store.write(lambda tx: tx.approvals.revise(third, second_edit)) is True
    assert await found(store, one) == replace(third, edits=(first_edit, second_edit))


async def test_a_revision_that_was_made_already_or_of_what_has_ended_is_not_made(store: Store) -> None:
    one, two = numbered(1), numbered(2)
    await insert(store, one, two)
    await store.write(lambda tx: tx.approvals.revise(*revised(one, {"a": 1})))
    before = await found(store, one)
    assert await store.write(lambda tx: tx.approvals.revise(*revised(one, {"a": 2}))) is False
    assert await found(store, one) == before
    await store.write(lambda tx: tx.approvals.resolve(two.id, Status.CANCELLED, START))
    assert await store.write(lambda tx: tx.approvals.revise(*revised(two, {"a": 2}))) is False
    assert (await found(store, two)).edits == ()


async def test_contents_are_kept_by_their_digest(store: Store) -> None:
    one = numbered(1)
    await insert(store, one)
    second, edit = revised(one, {"b": 1, "a": 0.5})
    decision = a_decision(approval=one.id, comment="Grüße 😀", revision=2)
    await store.write(lambda tx: (tx.approvals.revise(second, edit), tx.approvals.add_decision(decision)))
    kept = await store.read(lambda view: view.log.content(one.id))
    texts = [canonical(content, what="").decode() for content in (one.payload, second.payload, "Less", "Grüße 😀")]
    assert kept == {digest_of(text.encode()): text for text in texts}
    assert await store.read(lambda view: view.log.content("apr_none")) == {}


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


async def test_what_is_due_comes_longest_due_first(store: Store) -> None:
    def waits(number: int, **changes: Any) -> Approval:
        return numbered(number, stage_since=START, timed_to=START, **changes)

    in_two_hours = Policy(remind_after=(timedelta(hours=2),))
    await insert(
        store,
        waits(1, expires_at=START + timedelta(hours=3)),
        waits(2, policy=in_two_hours),
        waits(3, expires_at=START + timedelta(hours=1)),
        waits(4, expires_at=START, status=Status.CANCELLED, resolved_at=START),
        waits(5),
    )
    hours = [timedelta(), timedelta(hours=1), timedelta(hours=2), timedelta(hours=3)]
    due = [await store.read(lambda view, at=START + span: view.sweeps.due(at, 10)) for span in hours]
    assert due == [[numbered(n).id for n in numbers] for numbers in ([], [3], [3, 2], [3, 2, 1])]
    assert await store.read(lambda view: view.sweeps.due(START + timedelta(hours=3), 2)) == due[2]
    for number in (1, 2, 3, 5):
        await store.write(lambda tx, n=number: tx.approvals.resolve(numbered(n).id, Status.EXPIRED, START))
    assert await store.read(lambda view: view.sweeps.due(WEEK_LATER, 10)) == []


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


async def test_progress_comes_back_in_order(store: Store) -> None:
    one = numbered(1, flow="flw_1")
    reports = [Progress(step=f"s{n}", message=f"Ü {n}", at=START + timedelta(seconds=3 - n)) for n in range(3)]
    await insert(store, one, numbered(2))
    for report in reports:
        await store.write(lambda tx, told=report: tx.approvals.add_progress(one.id, told))
    assert (await found(store, one)).progress == tuple(reports)
    assert (await found(store, numbered(2))).progress == ()


async def test_a_stop_is_of_one_kind_or_of_everything(store: Store, other: Store) -> None:
    async def paused() -> list[bool]:
        return await other.read(lambda view: [view.stops.paused(kind) for kind in ("a", "b", None)])

    assert await paused() == [False, False, False]
    assert await store.write(lambda tx: tx.stops.pause("a", "os:cy", START)) is True
    assert await store.write(lambda tx: tx.stops.pause("a", "os:bo", START)) is False
    assert await paused() == [True, False, False]
    assert await store.write(lambda tx: tx.stops.pause(None, "os:cy", START)) is True
    assert await paused() == [True, True, True]
    assert await store.write(lambda tx: tx.stops.resume("a")) is True
    assert await store.write(lambda tx: tx.stops.resume("a")) is False
    assert await paused() == [True, True, True]
    assert await store.write(lambda tx: tx.stops.resume(None)) is True
    assert await paused() == [False, False, False]


async def test_erasing_removes_contents_and_leaves_what_happened(store: Store) -> None:
    one = numbered(1, claim="Please", form={"type": "object"}, dedup_key="k")
    await insert(store, one)

    def work(tx: Transaction) -> None:
        second, edit = revised(one, {"a": 1})
        tx.approvals.revise(second, edit)
        tx.approvals.add_decision(a_decision(approval=one.id, revision=2, comment="Fine"))
        tx.approvals.add_progress(one.id, Progress(step="s", message="m", at=START))
        tx.approvals.resolve(one.id, Status.APPROVED, START, answer={"a": 1}, reason="Because")
        tx.approvals.set_outcome(one.id, Outcome(OutcomeState.FAILED, {"r": 1}, "It broke"))
        tx.log.append(an_entry(one))

    await store.write(work)
    before = await found(store, one)
    await store.write(lambda tx: tx.approvals.erase(one.id, WEEK_LATER))
    after = await found(store, one)
    (edit,), (decision,) = before.edits, before.decisions
    assert after == replace(
        before,
        payload=None,
        title="(erased)",
        claim=None,
        form=None,
        answer=None,
        reason=None,
        outcome=Outcome(OutcomeState.FAILED),
        decisions=(replace(decision, comment=None),),
        edits=(replace(edit, comment=None, before=None, after=None),),
        progress=(),
        erased_at=WEEK_LATER,
    )
    assert await store.read(lambda view: (view.log.content(one.id), len(view.log.entries(one.id)))) == ({}, 1)


async def test_what_is_pending_is_not_erased(store: Store) -> None:
    await insert(store, numbered(1))
    with pytest.raises(Exception, match="payload"):
        await store.write(lambda tx: tx.approvals.erase(numbered(1).id, START))
    assert await found(store, numbered(1)) == numbered(1)


async def test_every_approval_is_listed_in_order_of_id(store: Store) -> None:
    ids = [numbered(number).id for number in range(5)]
    await insert(store, *(numbered(number, kind=f"k{number}") for number in (3, 1, 4, 0, 2)))
    await store.write(lambda tx: tx.approvals.resolve(ids[1], Status.CANCELLED, START))
    pages = await store.read(lambda view: [view.sweeps.every(after, 2) for after in ("", ids[1], ids[3], ids[4])])
    assert [[one.id for one in page] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]


async def test_earlier_requests_are_the_requesters_own_of_a_kind_newest_first(store: Store) -> None:
    await insert(
        store,
        *(numbered(number) for number in range(4)),
        numbered(4, requester="os:other"),
        numbered(5, kind="action"),
        numbered(6),
    )

    async def earlier(but: int, limit: int) -> list[str]:
        listed = await store.read(lambda view: view.requesters.earlier("os:agent", "expense", numbered(but).id, limit))
        return [one.id for one in listed]

    assert await earlier(6, 10) == [numbered(number).id for number in (3, 2, 1, 0)]
    assert await earlier(3, 2) == [numbered(6).id, numbered(2).id]
    assert await earlier(0, 10) == [numbered(number).id for number in (6, 3, 2, 1)]


async def test_t24_what_people_rejected_comes_first_and_what_ended_how_is_counted(store: Store) -> None:
    ended = [Status.REJECTED, Status.REJECTED, Status.CANCELLED, Status.REJECTED, Status.CANCELLED]
    await insert(store, *(numbered(number) for number in range(7)), numbered(7, requester="os:other"))
    rule = a_decision(approval=numbered(3).id, approver="policy:none", stage=POLICY_STAGE, verdict=Verdict.REJECT)

    def end(tx: Transaction) -> None:
        tx.approvals.add_decision(rule)
        for number, status in enumerate(ended):
            tx.approvals.resolve(numbered(number).id, status, START)

    await store.write(end)
    others = ("os:agent", "expense", numbered(6).id)
    listed = await store.read(lambda view: [view.requesters.earlier(*others, limit) for limit in (2, 4, 10)])
    in_order = [numbered(number).id for number in (1, 0, 3, 5, 4, 2)]
    assert [[one.id for one in some] for some in listed] == [in_order[:2], in_order[:4], in_order]

    async def counted(now: datetime, most: int) -> dict[Status, int]:
        return await store.read(lambda view: view.requesters.count_earlier(*others, now, most))

    assert await counted(START, 10) == {Status.REJECTED: 3, Status.CANCELLED: 2, Status.PENDING: 1}
    overdue = numbered(5).expires_at
    assert await counted(overdue, 2) == {Status.REJECTED: 2, Status.CANCELLED: 2, Status.EXPIRED: 1}


async def test_what_a_requester_has_open_is_counted_by_kind_and_to_a_limit(store: Store) -> None:
    await insert(
        store,
        *(numbered(number) for number in range(3)),
        numbered(3, status=Status.CANCELLED, resolved_at=START),
        numbered(4, requester="os:other"),
        numbered(5, kind="action"),
    )

    def count(requester: str, now: datetime, *limits: int) -> Callable[[View], list[int]]:
        return lambda view: [view.requesters.count_open(requester, "expense", now, most) for most in limits]

    ends = numbered(0).expires_at
    assert await store.read(count("os:agent", START, 2, 3, 10)) == [2, 3, 3]
    assert await store.read(count("os:agent", ends - timedelta(milliseconds=1), 10)) == [3]
    assert await store.read(count("os:agent", ends, 10)) == [0]
    assert await store.read(count("os:nobody", START, 10)) == [0]


async def test_what_a_rule_approved_is_counted_by_requester_kind_and_since_when(store: Store) -> None:
    approved: dict[str, Any] = {"status": Status.APPROVED, "rule": "small"}
    late, later = START + timedelta(seconds=1), START + timedelta(seconds=2)
    await insert(
        store,
        numbered(1, **approved, resolved_at=START),
        numbered(2, **approved, resolved_at=late),
        numbered(3, **approved, resolved_at=later, requested_at=START - timedelta(days=9)),
        numbered(4, **{**approved, "status": Status.REJECTED}, resolved_at=later),
        numbered(5, **{**approved, "rule": "large"}, resolved_at=later),
        numbered(6, **approved, resolved_at=later, requester="os:other"),
        numbered(7, **approved, resolved_at=later, kind="action"),
        numbered(8, rule="small"),
    )

    async def count(since: datetime) -> int:
        return await store.read(lambda view: view.requesters.count_ruled("os:agent", "expense", "small", since))

    assert [await count(since) for since in (START - timedelta(seconds=1), START, late, later)] == [3, 2, 1, 0]


async def test_the_latest_instant_and_the_profile_are_remembered(store: Store, other: Store) -> None:
    assert await store.read(lambda view: view.facts.profile()) is Profile.SOLO
    assert await store.read(lambda view: view.facts.mark()) < START
    await store.write(lambda tx: (tx.facts.remember(START), tx.facts.set_profile(Profile.TEAM)))
    assert await other.read(lambda view: (view.facts.mark(), view.facts.profile())) == (START, Profile.TEAM)


async def test_a_flows_own_table_is_written_in_the_same_transaction(store: Store) -> None:
    await store.write(lambda tx: tx.execute("CREATE TABLE sent (address TEXT)"))

    def work(tx: Transaction) -> None:
        tx.execute("INSERT INTO sent VALUES (?)", ("bo@example.com",))
        tx.approvals.insert(numbered(1))
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        await store.write(work)
    assert await store.write(lambda tx: tx.execute("SELECT * FROM sent")) == []
    await store.write(lambda tx: tx.execute("INSERT INTO sent VALUES (?)", ("bo@example.com",)))
    assert await store.write(lambda tx: tx.execute("SELECT * FROM sent")) == [("bo@example.com",)]


async def test_a_read_reads_a_flows_own_table_and_cannot_write_it(store: Store) -> None:
    await store.write(lambda tx: tx.execute("CREATE TABLE sent (address TEXT)"))
    for ask in (store.read, store.survey):
        with pytest.raises(Exception):  # noqa: B017 # each store has its own way to refuse
            await ask(lambda view: view.execute("INSERT INTO sent VALUES ('bo@example.com')"))
        assert await ask(lambda view: view.execute("SELECT * FROM sent")) == []


async def test_a_statement_can_have_the_words_of_each_database(store: Store) -> None:
    whose = Statement(sqlite="SELECT 'sqlite', ?", postgres="SELECT 'postgres', ?")
    [(database, value)] = await store.read(lambda view: view.execute(whose, (1,)))
    assert type(store).__name__.lower().startswith(str(database)) and value == 1
    control = Statement(sqlite="COMMIT", postgres="COMMIT")
    with pytest.raises(Invalid, match="COMMIT"):
        await store.write(lambda tx: tx.execute(control))


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "  commit;",
        "END TRANSACTION",
        "ROLLBACK",
        "ROLLBACK TO job",
        "SAVEPOINT mine",
        "RELEASE job",
        "BEGIN IMMEDIATE",
        "; COMMIT",
        "-- a note\n/* and\nanother */\ufeffCOMMIT",
    ],
)
async def test_an_action_neither_begins_nor_ends_a_transaction(store: Store, statement: str) -> None:
    """It would keep a part of what it did, and be run again for the rest."""
    await store.write(lambda tx: tx.execute("CREATE TABLE sent (address TEXT)"))

    def work(tx: Transaction) -> None:
        tx.execute("INSERT INTO sent VALUES (?)", ("bo@example.com",))
        tx.execute(statement)

    with pytest.raises(Invalid, match=r"^An action cannot use .*: it already runs inside a transaction"):
        await store.write(work)
    assert await store.write(lambda tx: tx.execute("SELECT * FROM sent")) == []


@pytest.mark.parametrize(
    "statement", ["SELECT 1", "-- COMMIT this\nSELECT 1", "/* */ SELECT /* COMMIT */ 1", "\nSELECT 1"]
)
async def test_what_only_speaks_of_transactions_is_run(store: Store, statement: str) -> None:
    assert await store.write(lambda tx: tx.execute(statement)) == [(1,)]
