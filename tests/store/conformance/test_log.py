"""The log: what every store promises of it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from samples import START
from store_samples import an_entry, append, insert, numbered

from mcp_hitl.domain.evidence.chain import NOWHERE, Entry, genesis
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio


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

    async def count(events: list[Event], since: timedelta, *actors: str, until: timedelta = timedelta(days=1)) -> int:
        return await store.read(
            lambda view: view.log.count_events(actors or ("os:ana",), "expense", events, START + since, START + until)
        )

    both = [Event.OPENED, Event.ASKED_AGAIN]
    assert await count(both, timedelta(milliseconds=-1)) == 3
    assert await count(both, timedelta()) == 2  # not that of the very instant
    assert await count([Event.OPENED], timedelta()) == 1
    assert await count(both, timedelta(), "os:bo") == 1
    assert await count(both, timedelta(), "os:ana", "os:bo") == 3
    assert await count(both, timedelta(seconds=2)) == 0


async def test_whether_somebody_caused_an_entry_is_told_by_approval_event_actor_and_way(store: Store) -> None:
    one, other = numbered(1), numbered(2)
    await append(store, an_entry(one), an_entry(one, Event.ASKED_AGAIN, actor="os:bo", established="os-user"))

    async def has(*about: str) -> bool:
        return await store.read(lambda view: view.log.has_entry(*about))

    assert await has(one.id, "asked-again", "os:bo", "os-user")
    assert not await has(other.id, "asked-again", "os:bo", "os-user")
    assert not await has(one.id, "opened", "os:bo", "os-user")
    assert not await has(one.id, "asked-again", "os:ana", "os-user")
    assert not await has(one.id, "asked-again", "os:bo", "loopback")


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


async def test_the_latest_entry_of_an_event_is_the_newest_that_concerns_no_approval(store: Store) -> None:
    changed = Event.POLICY_CHANGED.value
    assert await store.read(lambda view: view.log.latest(changed)) is None

    def apart(event: Event, **data: str) -> Entry:
        return replace(an_entry(numbered(1), event, revision=0, data=data), approval=NOWHERE)

    first, second = (apart(Event.POLICY_CHANGED, policy=digest) for digest in ("sha256:1", "sha256:2"))
    of_one = an_entry(numbered(1), Event.POLICY_CHANGED, data={"policy": "sha256:3"})
    await append(store, first, second, apart(Event.PAUSED), of_one)
    latest = await store.read(lambda view: view.log.latest(changed))
    assert latest is not None and (latest.seq, latest.entry, latest.intact) == (2, second, True)
    assert await store.read(lambda view: view.log.latest(Event.RESUMED.value)) is None
