"""Reads and writes: what every store promises of each."""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta

import anyio
import pytest
from samples import START, a_decision
from statements import recorded
from store_samples import Held, an_entry, insert, listed, numbered

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

pytestmark = pytest.mark.anyio


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
    assert await listed(store) == kept
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
    assert await listed(store) == []


async def test_a_read_sees_what_was_written_before_it(store: Store, other: Store) -> None:
    for number in range(20):
        await insert(store, numbered(number))
        assert await other.read(lambda view, n=number: view.approvals.get(numbered(n).id)) is not None


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


async def test_what_one_reads_of_the_log_is_all_that_was_appended_before(store: Store) -> None:
    read: list[list[str]] = []

    def append(number: int, *, fails: bool) -> None:
        def work(tx: Transaction) -> None:
            tx.log.append(an_entry(numbered(number)))
            read.append([one.entry.approval for one in tx.log.chain(0, 100)])
            assert tx.execute("SELECT count(*) FROM audit") == [(len(read[-1]),)]
            tx.log.append(an_entry(numbered(number + 1)))
            if fails:
                raise ValueError("no")

        async def write() -> None:
            with pytest.raises(ValueError, match=r"^no$") if fails else nullcontext():
                await store.write(work)

        tasks.start_soon(write)

    held, ids = Held(), [numbered(number).id for number in range(7)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.write, held.hold)
        await held.is_held()
        for number, fails in ((1, False), (3, True), (5, False)):
            append(number, fails=fails)
            await anyio.wait_all_tasks_blocked()
        held.let_go()
    assert read[-3:] == [ids[1:2], ids[1:4], [*ids[1:3], ids[5]]]
    chain = await store.read(lambda view: view.log.chain(0, 100))
    assert [(one.seq, one.entry.approval) for one in chain] == list(enumerate((*ids[1:3], *ids[5:7]), start=1))
    assert all(one.intact for one in chain)
    assert [one.previous for one in chain[1:]] == [one.hash for one in chain[:-1]]


async def test_what_commits_together_needs_a_savepoint_only_if_one_fails_that_has_changed_something(
    store: Store,
) -> None:
    ran: list[str] = []

    def insertion(number: int, *, fails: bool) -> Callable[[Transaction], None]:
        def work(tx: Transaction) -> None:
            ran.append(f"insert {number}")
            tx.approvals.insert(numbered(number))
            if fails:
                raise ValueError("no")

        return work

    def refusal(tx: Transaction) -> None:
        tx.log.append(an_entry(numbered(0)))
        raise ValueError("no")

    async def together(*jobs: Callable[[Transaction], None]) -> bool:
        async def write(job: Callable[[Transaction], None]) -> None:
            with suppress(ValueError):
                await store.write(job)

        held = Held()
        with recorded() as statements:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.write, held.hold)
                await held.is_held()
                for job in jobs:
                    tasks.start_soon(write, job)
                await anyio.wait_all_tasks_blocked()
                held.let_go()
        return any("SAVEPOINT" in one for one in statements)

    assert not await together(insertion(1, fails=False), refusal, insertion(2, fails=False))
    assert ran == ["insert 1", "insert 2"]
    assert await together(insertion(3, fails=False), insertion(4, fails=True), insertion(5, fails=False))
    assert ran[2:] == ["insert 3", "insert 4", "insert 3", "insert 4", "insert 5"]
    assert await listed(store) == [numbered(number).id for number in (1, 2, 3, 5)]
    assert await store.read(lambda view: view.log.last_seq()) == 0
