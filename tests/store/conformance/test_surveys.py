"""A survey is a long read that holds nobody up, and that can be ended."""

import threading
from collections.abc import Callable

import anyio
import pytest
from samples import an_approval

from mcp_hitl.domain.values.errors import NotFound, Unavailable
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

pytestmark = pytest.mark.anyio
ONE = an_approval()


def insert(tx: Transaction) -> None:
    tx.approvals.insert(ONE)


def write_in(view: View) -> None:
    view.approvals.insert(ONE)  # type: ignore[attr-defined]


class Held:
    """A survey that stands still where the test wants it, and then looks once more."""

    def __init__(self) -> None:
        self.begun, self.go, self.over = threading.Event(), threading.Event(), threading.Event()
        self.seen: list[object] = []

    def __call__(self, view: View) -> list[object]:
        try:
            self.seen.append(view.approvals.get(ONE.id))
            self.begun.set()
            assert self.go.wait(30)
            self.seen.append(view.approvals.get(ONE.id))
        finally:
            self.over.set()
        return self.seen


async def wait(event: threading.Event) -> None:
    assert await anyio.to_thread.run_sync(event.wait, 30)


async def test_reads_and_writes_go_on_beside_a_survey_which_sees_one_snapshot(store: Store) -> None:
    held = Held()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.survey, held)
            await wait(held.begun)
            await store.write(insert)
            assert await store.read(lambda view: view.approvals.get(ONE.id)) == ONE
            assert await store.survey(lambda view: view.approvals.get(ONE.id)) == ONE
            held.go.set()
    assert held.seen == [None, None]


async def test_a_survey_that_was_cancelled_looks_no_further(store: Store) -> None:
    held = Held()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.survey, held)
            await wait(held.begun)
            tasks.cancel_scope.cancel()
        held.go.set()
        await wait(held.over)
    assert held.seen == [None]
    assert await store.survey(lambda view: view.log.last_seq()) == 0


async def test_closing_ends_a_survey_and_tells_who_waits_for_it(open_store: Callable[[], Store]) -> None:
    store, held = open_store(), Held()
    told: list[str] = []

    async def survey() -> None:
        with pytest.raises(Unavailable) as refused:
            await store.survey(held)
        told.append(str(refused.value))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(survey)
            await wait(held.begun)
            async with anyio.create_task_group() as closing:
                closing.start_soon(store.close)
                await anyio.wait_all_tasks_blocked()
                held.go.set()
    assert held.over.is_set() and held.seen == [None]
    assert told == ["The database is closed; the server is stopping. Nothing was changed."]
    with pytest.raises(Unavailable, match="is closed"):
        await store.survey(held)


async def test_closing_refuses_the_surveys_that_wait_for_their_turn(open_store: Callable[[], Store]) -> None:
    store, many = open_store(), [Held() for _ in range(12)]
    refused: list[Held] = []

    async def survey(held: Held) -> None:
        with pytest.raises(Unavailable, match="is closed"):
            await store.survey(held)
        refused.append(held)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for held in many:
                tasks.start_soon(survey, held)
            await wait(many[0].begun)
            async with anyio.create_task_group() as closing:
                closing.start_soon(store.close)
                await anyio.wait_all_tasks_blocked()
                for held in many:
                    held.go.set()
    assert len(refused) == 12
    assert all(len(held.seen) <= 1 for held in many)


async def test_what_a_survey_raises_comes_back(store: Store) -> None:
    def fail(view: View) -> None:
        raise NotFound

    with pytest.raises(NotFound):
        await store.survey(fail)


async def test_a_survey_cannot_write(store: Store) -> None:
    with pytest.raises(Exception):  # noqa: B017 # each store has its own way to refuse
        await store.survey(write_in)
    assert await store.read(lambda view: view.approvals.get(ONE.id)) is None
