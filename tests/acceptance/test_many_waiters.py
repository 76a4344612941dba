"""A thousand callers wait in one process. Here the causes of its costing nothing; the figures are in `benchmarks`."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from wires import Person, accept, connect, content

from mcp_hitl.desk import Desk
from mcp_hitl.domain.policy.kinds import EXPENSE, Limits
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.desk_views import views_of
from mcp_hitl.protocols.mcp.callers import always
from mcp_hitl.server.app import ApprovalServer
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.view import View

pytestmark = pytest.mark.anyio

MODERN = "2026-07-28"
T = TypeVar("T")
ANA = Principal("os:ana", Established.OS_USER)
UNLIMITED = Rulebook(kinds={EXPENSE.name: replace(EXPENSE, limits=Limits(per_minute=None))})


class CountingStore(SqliteStore):
    """The store, counting its reads."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        super().__init__(path)
        self.reads = 0

    async def read(self, work: Callable[[View], T]) -> T:
        """Count, and read."""
        self.reads += 1
        return await super().read(work)


async def quiet(store: CountingStore) -> None:
    """Return when everybody who waits has looked and nobody reads any more."""
    reads = None
    while reads is None or store.reads != reads + 1:
        reads = store.reads
        await store.read(lambda view: view.log.last_seq())  # behind all others in the queue
        await anyio.wait_all_tasks_blocked()


class Waiting:
    """Callers who wait, each for an approval of their own."""

    def __init__(self, store: CountingStore, client: Any, ids: list[str]) -> None:
        """`ids` are what they wait for."""
        self.store = store
        self.client = client
        self.ids = ids
        self.returned: dict[str, str] = {}
        self.one_returned = anyio.Event()

    async def wait(self, approval_id: str) -> None:
        """Wait like any caller."""
        result = await self.client.call_tool("wait-for-approval", {"id": approval_id, "timeout_seconds": 300})
        self.returned[approval_id] = content(result)["status"]
        self.one_returned.set()


@asynccontextmanager
async def waiting(path: Path, callers: int) -> AsyncGenerator[Waiting]:
    """That many callers in one server, each waiting through a client's call; all have looked once and wait now."""
    store = CountingStore(path)
    async with Desk(store, effects=EFFECTS, rulebook=UNLIMITED).open() as desk:
        server = ApprovalServer(desk, always(ANA), views=views_of(desk, inbox="in a test"), key=bytes(32)).mcp
        async with connect(server, MODERN, person=Person(accept(decision="approve"))) as client:
            lunches = [{"amount": n, "currency": "USD", "description": "Lunch"} for n in range(1, callers + 1)]
            submitted = await asyncio.gather(*(desk.approvals.submit(ANA, "expense", lunch) for lunch in lunches))
            asked = [approval.id for approval in submitted]
            async with anyio.create_task_group() as tasks:
                place = Waiting(store, client, asked)
                for approval_id in asked:
                    tasks.start_soon(place.wait, approval_id)
                await quiet(store)
                yield place
                tasks.cancel_scope.cancel()
    await store.close()


@pytest.mark.parametrize("callers", [1, 1_000])
async def test_a_change_costs_as_many_queries_with_a_thousand_waiting_as_with_one(tmp_path: Path, callers: int) -> None:
    async with waiting(tmp_path / "hitl.db", callers) as place:
        before = place.store.reads
        await place.client.call_tool("approve", {"id": place.ids[0]})
        with anyio.fail_after(30):
            await place.one_returned.wait()
        assert place.returned == {place.ids[0]: "approved"}
        # By the call of approve: a look before the form and one after it, each also at what was asked earlier. By the
        # feed: one for each of the commit and its announcement. By the one waiter whose approval it was: one. A few
        # more where the machine is so slow that the feed has looked once more meanwhile.
        assert place.store.reads - before <= 12


async def test_a_thousand_who_wait_keep_no_timer_hot(tmp_path: Path) -> None:
    async with waiting(tmp_path / "hitl.db", 1_000):
        loop: Any = asyncio.get_running_loop()
        soon = [timer for timer in loop._scheduled if not timer.cancelled() and timer.when() < loop.time() + 1]
        assert len(soon) <= 2  # the watch for other processes, which is one for all


async def test_nobody_waiting_means_that_nothing_is_read(tmp_path: Path) -> None:
    store = CountingStore(tmp_path / "hitl.db")
    async with Desk(store, effects=EFFECTS).open() as desk:
        for amount in range(1, 20):
            await desk.approvals.submit(ANA, "expense", {"amount": amount, "currency": "USD", "description": "Lunch"})
        assert store.reads == 0
    await store.close()
