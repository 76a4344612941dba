"""Workers: what has its turn again and again in the background."""

import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

import anyio
import pytest
from desk_samples import AGENT, LONG, Clock, WatchedStore
from team_samples import PAIR, a_rulebook

from mcp_hitl.desk import Desk
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.engine.eraser import Eraser
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import working

pytestmark = pytest.mark.anyio
PATIENCE = 20


class Counting:
    """A worker that does nothing but count its turns, unless it is given something to do."""

    name = "the counting"
    wakes_on: Collection[Event] = ()
    seconds = LONG

    def __init__(self, *does: Callable[[], Awaitable[None]] | Exception) -> None:
        """Each turn does the next of `does`: raises it, or leaves it to go on beside the next turns."""
        self.turns = 0
        self._does = list(does)
        self._reached: dict[int, anyio.Event] = {}

    async def turn(self) -> list[Callable[[], Awaitable[None]]]:
        self.turns += 1
        if self.turns in self._reached:
            self._reached[self.turns].set()
        does = self._does.pop(0) if self._does else None
        if isinstance(does, Exception):
            raise does
        return [does] if does else []

    async def reaches(self, turns: int) -> None:
        """Wait until it has had so many turns."""
        if self.turns < turns:
            self._reached[turns] = anyio.Event()
            with anyio.fail_after(PATIENCE):
                await self._reached[turns].wait()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_hitl.process.workers._RETRY_SECONDS", 0.001)


async def test_a_worker_has_its_turn_at_once_and_again_after_its_seconds(desk: Desk) -> None:
    worker = Counting()
    worker.seconds = 0.001
    async with desk.open(), working(desk.feed, [worker]):
        await worker.reaches(3)


async def test_a_worker_has_its_turn_after_the_events_that_wake_it_and_no_others(desk: Desk) -> None:
    asleep, awake = Counting(), Counting()
    asleep.wakes_on, awake.wakes_on = {Event.CANCELLED}, {Event.OPENED}
    async with desk.open(), working(desk.feed, [asleep, awake]):
        await asleep.reaches(1)
        await awake.reaches(1)
        await desk.approvals.submit(AGENT, "action", {"action": "test"})
        await awake.reaches(2)
    assert asleep.turns == 1


async def test_a_turn_that_fails_is_tried_again_and_each_kind_of_failure_is_logged_once(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Counting(
        Unavailable("The disk went away."),
        ValueError("one"),
        Unavailable("The disk went away."),
        ValueError("two"),
        Unavailable("The disk is full."),
    )
    async with desk.open(), working(desk.feed, [worker]):
        await worker.reaches(6)
    assert [(record.message, bool(record.exc_info)) for record in logged(caplog)] == [
        ("the counting cannot run: The disk went away.", False),
        ("the counting cannot run: one", True),
        ("the counting cannot run: The disk is full.", False),
    ]


async def test_a_failure_that_comes_back_is_logged_again(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    async def nothing() -> None:
        pass

    worker = Counting(Unavailable("Away."), nothing, Unavailable("Away."))
    async with desk.open(), working(desk.feed, [worker]):
        await worker.reaches(4)
    assert len(logged(caplog)) == 2


async def test_a_worker_that_fails_takes_no_other_with_it(desk: Desk) -> None:
    failing, other = Counting(*[ValueError(str(n)) for n in range(100)]), Counting()
    other.seconds = 0.001
    async with desk.open(), working(desk.feed, [failing, other]):
        await failing.reaches(2)
        await other.reaches(3)


async def test_work_goes_on_beside_the_next_turns_and_causes_one_when_it_ends(desk: Desk) -> None:
    begun, let = anyio.Event(), anyio.Event()

    async def work() -> None:
        begun.set()
        await let.wait()

    worker = Counting(work)
    worker.wakes_on = {Event.OPENED}
    async with desk.open(), working(desk.feed, [worker]):
        with anyio.fail_after(PATIENCE):
            await begun.wait()
        await desk.approvals.submit(AGENT, "action", {"action": "test"})
        await worker.reaches(2)
        let.set()
        await worker.reaches(3)


async def test_work_that_fails_is_logged_and_causes_a_turn(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise ValueError("no")

    worker = Counting(work)
    async with desk.open(), working(desk.feed, [worker]):
        await worker.reaches(2)
    assert [record.message for record in logged(caplog)] == ["the counting cannot run: no"]


async def test_a_worker_and_its_work_are_cancelled_when_the_process_stops(desk: Desk) -> None:
    ended: list[str] = []
    begun = anyio.Event()

    async def work() -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("work")

    async with desk.open(), working(desk.feed, [Counting(work)]):
        with anyio.fail_after(PATIENCE):
            await begun.wait()
    assert ended == ["work"]


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "mcp_hitl.process.workers"]


async def test_contents_are_erased_after_the_retention_time_by_the_eraser(store: WatchedStore, clock: Clock) -> None:
    desk = Desk(store, effects=EFFECTS, rulebook=a_rulebook(PAIR), clock=clock, retention=timedelta(days=30))
    asked = await desk.approvals.submit(AGENT, "thing", {"n": 1})
    await desk.approvals.cancel(AGENT, asked.id)
    clock.advance(timedelta(days=30))
    erased = anyio.Event()
    with anyio.fail_after(PATIENCE):
        async with (
            desk.open(),
            desk.feed.listen(asked.id, lambda _: erased.set()),
            working(desk.feed, [Eraser(desk)]),
        ):
            await erased.wait()
    assert (await desk.approvals.get(AGENT, asked.id)).erased_at == clock()
