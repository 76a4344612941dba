"""T9: whatever cancels a flow from inside, or wants to end its process, nothing is done twice and nobody else stops."""

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import timedelta
from typing import Any

import anyio
import pytest
from desk_samples import ANA
from engine.rig import PATIENCE, Rig, flow_of

from mcp_hitl import Step
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Outcome, OutcomeState
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.engine.contained import contained
from mcp_hitl.process.workers import serve
from mcp_hitl.store.transaction import Transaction

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]
BARE: dict[str, BaseException] = {
    "interrupt": KeyboardInterrupt(),
    "close": GeneratorExit(),
    "group": BaseExceptionGroup("both", [KeyboardInterrupt(), ValueError()]),
}
"""What is no `Exception`, by a word."""
Limited = Callable[[Callable[[Callable[[], object]], Awaitable[object]]], Awaitable[object]]
"""Runs something under a time limit, and hands it what lets the time be up."""


async def fail_after(work: Callable[[Callable[[], object]], Awaitable[object]]) -> object:
    with anyio.fail_after(PATIENCE) as limit:

        def up() -> None:
            limit.deadline = anyio.current_time()

        return await work(up)


async def move_on_after(work: Callable[[Callable[[], object]], Awaitable[object]]) -> object:
    with anyio.move_on_after(PATIENCE) as limit:
        return await work(limit.cancel)
    return "gave up waiting"


async def asyncio_timeout(work: Callable[[Callable[[], object]], Awaitable[object]]) -> object:
    async with asyncio.timeout(PATIENCE) as limit:
        return await work(lambda: limit.reschedule(0))


async def wait_for(work: Callable[[Callable[[], object]], Awaitable[object]]) -> object:
    async def cancelled() -> object:
        task = asyncio.current_task()
        assert task is not None
        return await work(task.cancel)

    try:
        return await asyncio.create_task(cancelled())
    except asyncio.CancelledError:
        raise TimeoutError from None


LIMITS = [fail_after, move_on_after, asyncio_timeout, wait_for]


@contextmanager
def at_ctrl_c(handler: Any) -> Generator[None]:
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def time_is(up: Callable[[], object]) -> None:
    """Let the time be up, and whoever is cancelled by that notice it."""
    up()
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def serving(rig: Rig, run: Callable[[dict[str, object], Step], Awaitable[object]]) -> AsyncGenerator[Desk]:
    with anyio.fail_after(PATIENCE):
        async with serve(rig.desk, {"work": flow_of(run)}) as desk:
            yield desk


async def ended(desk: Desk, approval_id: str) -> Outcome:
    """Wait until the flow of an approval has ended."""
    changed = anyio.Event()
    async with desk.feed.listen(approval_id, lambda _: changed.set()):
        while (await desk.approvals.get(ANA, approval_id)).outcome.state in {OutcomeState.NONE, OutcomeState.RUNNING}:
            await changed.wait()
            changed = anyio.Event()
    return (await desk.approvals.get(ANA, approval_id)).outcome


@pytest.mark.parametrize("limited", LIMITS)
@pytest.mark.parametrize("caught", [False, True])
async def test_t09_a_time_limit_around_a_step_that_runs_at_most_once_leaves_it_unknown(
    rig: Rig, limited: Limited, caught: bool
) -> None:
    orders: list[str] = []
    later: list[str] = []

    async def run(value: dict[str, object], step: Step) -> object:
        await step.wait_for_approval("people", payload=value)

        async def work(up: Callable[[], object]) -> object:
            async def pay() -> None:
                orders.append("sent")
                up()
                await anyio.sleep_forever()

            return await step.do("pay", pay, at_most_once=True)

        try:
            result = await limited(work)
        except Exception:
            if not caught:
                raise
            result = "never mind"
        await step.do("tell", lambda: later.append("told"))
        return result

    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve(approval_id)
    await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert (orders, later, outcome.state) == (["sent"], [], OutcomeState.UNKNOWN)
    assert "may have acted" in str(outcome.error)
    assert (
        await rig.desk.decisions.reconcile(ANA, approval_id, True, assurance=Assurance.LOCAL)
    ).outcome.state is OutcomeState.SUCCEEDED
    await rig.verify()


@pytest.mark.parametrize("limited", LIMITS)
async def test_t09_a_time_limit_around_a_write_changes_nothing_about_its_happening_once(
    rig: Rig, limited: Limited
) -> None:
    await rig.rows("CREATE TABLE paid (n INTEGER)")

    async def run(value: dict[str, object], step: Step) -> object:
        await step.wait_for_approval("people", payload=value)

        async def work(up: Callable[[], object]) -> object:
            def pay(tx: Transaction) -> str:
                tx.execute("INSERT INTO paid VALUES (1)")
                asyncio.run_coroutine_threadsafe(time_is(up), loop).result(PATIENCE)
                return "paid"

            return await step.write("pay", pay)

        return {"it": await limited(work)}

    loop = asyncio.get_running_loop()
    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve(approval_id)
    await rig.go(run)
    rig.clock.advance(timedelta(seconds=1))
    await rig.go(run)
    assert await rig.outcome(approval_id) == Outcome(OutcomeState.SUCCEEDED, {"it": "paid"})
    assert await rig.rows("SELECT count(*) FROM paid") == [(1,)]
    await rig.verify()


@pytest.mark.parametrize(
    "mistake", ["cancel", "exit", "exit in a step", *BARE, *(f"{name} in a step" for name in BARE)]
)
async def test_what_a_flow_does_to_its_own_process_ends_that_flow_alone(rig: Rig, mistake: str) -> None:
    going, let = anyio.Event(), anyio.Event()

    async def pay() -> str:
        going.set()
        await let.wait()
        return "paid"

    async def run(value: dict[str, object], step: Step) -> object:
        match value.get("does"):
            case "cancel":
                task = asyncio.create_task(asyncio.sleep(PATIENCE))
                await asyncio.sleep(0)
                task.cancel()
                await task
            case "exit":
                sys.exit("enough")
            case "exit in a step":
                await step.do("end", sys.exit, "enough", retries=0)
            case "pay":
                return {"did": await step.do("pay", pay, at_most_once=True)}
            case "interrupt" | "close" | "group" as bare:
                raise BARE[str(bare)]
            case bare:

                async def leave() -> None:
                    raise BARE[str(bare).removesuffix(" in a step")]

                await step.do("end", leave, retries=0)

    # As in a program that `asyncio.run` runs, and not as in pytest.
    with at_ctrl_c(signal.SIG_IGN):
        async with serving(rig, run) as desk:
            under_way = await rig.submit({"does": "pay"})
            await going.wait()
            bad = await rig.submit({"does": mistake})
            assert (await ended(desk, bad)).state is OutcomeState.FAILED
            let.set()
            later = await rig.submit({"does": "pay"})
            for innocent in (under_way, later):
                assert (await ended(desk, innocent)).result == {"did": "paid"}


def test_ctrl_c_in_the_code_of_a_flow_is_no_failure_of_the_flow() -> None:
    async def interrupted() -> None:
        with contained():
            signal.raise_signal(signal.SIGINT)

    with at_ctrl_c(signal.default_int_handler), closing(asyncio.new_event_loop()) as loop:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(interrupted())


def test_code_that_python_closes_is_no_failure_of_the_flow() -> None:
    async def waiting() -> None:
        with contained():
            await anyio.sleep_forever()

    async def begin() -> Any:
        code = waiting()
        begun = asyncio.create_task(code)
        await asyncio.sleep(0)
        return code, begun

    with closing(asyncio.new_event_loop()) as loop:
        code, begun = loop.run_until_complete(begin())
        code.close()  # raises whatever the code makes of it
        assert not begun.done()


async def test_t15_the_emergency_stop_holds_the_next_try_of_a_step(rig: Rig) -> None:
    stopped_at_try: list[bool] = []

    async def act() -> str:
        stopped_at_try.append(await rig.store.read(lambda view: view.stops.paused("work")))
        if len(stopped_at_try) == 1:
            await rig.desk.stops.pause(ANA)
            raise OSError("connection reset")
        return "paid"

    async def run(value: dict[str, object], step: Step) -> object:
        await step.wait_for_approval("people", payload=value)
        return {"did": await step.do("pay", act, backoff=0)}

    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve(approval_id)
    await rig.go(run)
    assert (stopped_at_try, await rig.ended_as(approval_id)) == ([False], OutcomeState.RUNNING)
    await rig.desk.stops.resume(ANA)
    await rig.go(run)
    assert (stopped_at_try, await rig.ended_as(approval_id)) == ([False, False], OutcomeState.SUCCEEDED)


class Hold:
    """Writing that holds up whatever is written with it or after it, until it is let go."""

    def __init__(self, rig: Rig) -> None:
        self.begun, self._let = asyncio.Event(), threading.Event()
        self._loop = asyncio.get_running_loop()
        self._written = asyncio.create_task(rig.store.write(self._hold))

    def _hold(self, _: Transaction) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        self._let.wait(PATIENCE)

    async def let_go(self) -> None:
        self._let.set()
        await self._written


async def test_steps_side_by_side_are_all_in_the_journal(rig: Rig) -> None:
    calls: list[str] = []

    async def run(value: dict[str, object], step: Step) -> object:
        await step.wait_for_approval("people", payload=value)
        before = Hold(rig)
        await before.begun.wait()

        async def while_that_is_being_written() -> None:
            await rig.store.read(lambda view: view.log.last_seq())  # behind what the other step reads before it writes
            await asyncio.sleep(0)
            commit = Hold(rig)
            await asyncio.sleep(0)
            await before.let_go()
            await commit.begun.wait()
            await step.do("other", calls.append, "other")
            await step.report("other", "It is done.")
            await commit.let_go()

        await asyncio.gather(step.do("first", calls.append, "first", at_most_once=True), while_that_is_being_written())
        await step.wait_for_approval("more people", payload={"more": True})
        return None

    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve(approval_id)
    await rig.go(run)
    assert await rig.rows("SELECT name FROM journal WHERE branch <> '' ORDER BY branch, position") == [
        ("first",),
        ("other",),
        ("other",),
    ]
    [second] = await rig.pending()
    await rig.approve(second.id)
    await rig.go(run)
    assert sorted(calls) == ["first", "other"]
    assert [one.message for one in (await rig.look(approval_id)).progress] == ["It is done."]
    assert await rig.ended_as(approval_id) is OutcomeState.SUCCEEDED


async def test_t09_what_a_server_has_done_while_it_was_told_to_stop_is_in_the_journal(rig: Rig) -> None:
    going, let = anyio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    calls: list[str] = []

    def pay() -> str:
        loop.call_soon_threadsafe(going.set)
        let.wait(PATIENCE)
        calls.append("paid")
        return "paid"

    async def run(value: dict[str, object], step: Step) -> object:
        return {"did": await step.do("pay", pay, at_most_once=True)}

    async def let_it_end() -> None:
        let.set()

    approval_id = await rig.submit()
    async with anyio.create_task_group() as tasks, serving(rig, run):
        await going.wait()
        tasks.start_soon(let_it_end)  # its turn comes when the server has been told to stop
    assert await rig.rows("SELECT state FROM journal") == [("done",)]
    rig.clock.advance(timedelta(seconds=1))  # an interrupted flow may be left alone for so long
    await rig.go(run)
    assert (calls, (await rig.outcome(approval_id)).result) == (["paid"], {"did": "paid"})
