"""The facts of the database itself: what every store keeps."""

from datetime import timedelta

import pytest
from samples import START

from mcp_hitl.domain.policy.policy import Profile
from mcp_hitl.domain.values.clock import Boot
from mcp_hitl.domain.values.origin import Origin
from mcp_hitl.store.store import Store

pytestmark = pytest.mark.anyio


async def test_no_two_databases_have_one_id(store: Store, other: Store, foreign: Store) -> None:
    first = await store.read(lambda view: view.facts.database_id())
    assert await other.read(lambda view: view.facts.database_id()) == first
    assert await foreign.read(lambda view: view.facts.database_id()) != first


async def test_the_latest_instant_and_the_profile_are_remembered(store: Store, other: Store) -> None:
    assert await store.read(lambda view: view.facts.profile()) is Profile.SOLO
    assert await store.read(lambda view: view.facts.mark()) < START
    await store.write(lambda tx: (tx.facts.remember(START), tx.facts.set_profile(Profile.TEAM)))
    assert await other.read(lambda view: (view.facts.mark(), view.facts.profile())) == (START, Profile.TEAM)


@pytest.mark.parametrize("where", [Origin("http", "localhost", 1), Origin("http", "::1", 2), None])
async def test_where_the_inbox_is_is_kept(store: Store, where: Origin | None) -> None:
    assert await store.read(lambda view: view.facts.inbox()) is None
    await store.write(lambda tx: tx.facts.set_inbox(where))
    assert await store.read(lambda view: view.facts.inbox()) == where


async def test_each_machine_has_an_inbox_of_its_own(store: Store) -> None:
    here, there = Origin("http", "localhost", 1), Origin("http", "localhost", 2)
    await store.write(lambda tx: tx.facts.set_inbox(Origin("http", "localhost", 3), "a"))
    await store.write(lambda tx: (tx.facts.set_inbox(here, "a"), tx.facts.set_inbox(there, "b")))
    assert await store.read(lambda view: [view.facts.inbox(one) for one in ("a", "b", "c")]) == [here, there, None]
    await store.write(lambda tx: tx.facts.set_inbox(None, "a"))
    assert await store.read(lambda view: [view.facts.inbox(one) for one in ("a", "b")]) == [None, there]


async def test_the_digest_of_the_policy_file_is_kept_and_the_last_one_counts(store: Store, other: Store) -> None:
    assert await store.read(lambda view: view.facts.policy()) is None
    for digest in ("sha256:1", "sha256:2"):
        await store.write(lambda tx, digest=digest: tx.facts.set_policy(digest))
        assert await other.read(lambda view: view.facts.policy()) == digest


async def test_the_ports_that_were_used_are_kept_in_order(store: Store, other: Store) -> None:
    assert await store.read(lambda view: view.facts.spent_ports()) == ()
    for ports in ((3, 1, 2), (2,), ()):
        await store.write(lambda tx, ports=ports: tx.facts.set_spent_ports(ports))
        assert await other.read(lambda view: view.facts.spent_ports()) == ports


async def test_each_start_of_a_computer_is_known_until_there_were_many_others(store: Store) -> None:
    assert await store.read(lambda view: view.facts.boot("first")) is None
    names = ("first", "second", *map(str, range(62)))
    boots = [Boot(name, START + timedelta(minutes=n)) for n, name in enumerate(names)]
    for boot in boots:
        await store.write(lambda tx, boot=boot: tx.facts.set_boot(boot))
    assert await store.read(lambda view: [view.facts.boot(boot.id) for boot in boots]) == boots
    later = Boot("first", START + timedelta(days=1))
    await store.write(lambda tx: tx.facts.set_boot(later))
    await store.write(lambda tx: tx.facts.set_boot(Boot("another", START)))
    assert await store.read(lambda view: (view.facts.boot("first"), view.facts.boot("second"))) == (later, None)
    assert await store.read(lambda view: view.facts.boot(None)) is None
