"""Waiting for changes, closing and opening again: what every store does."""

from collections.abc import Callable

import anyio
import pytest
from store_samples import FULL, Held, insert, listed, numbered

from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.store.store import Store

pytestmark = pytest.mark.anyio


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
    assert len(await listed(again)) == 70
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
