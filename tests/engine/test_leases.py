"""One process at a time runs a flow, and one that has lost it can write nothing."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from engine.rig import WORK, Rig, approved, flow_of

from mcp_hitl import Step
from mcp_hitl.config.location import Location
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.values.errors import Unavailable
from mcp_hitl.engine import claims
from mcp_hitl.engine.claims import LEASE, Claims, Taking
from mcp_hitl.engine.runner import AT_ONCE, Runner
from mcp_hitl.process.workers import serve, timers_of
from mcp_hitl.store.opening import open_store
from mcp_hitl.store.transaction import Transaction

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]


class Slow:
    """A flow whose step hangs in the first process that runs it, and finishes at once in every other."""

    def __init__(self, act: Callable[[Step, Callable[[], Awaitable[str]]], Awaitable[object]]) -> None:
        """`act` takes the step that hangs, however it wants to."""
        self.calls = 0
        self.acting, self.finish = anyio.Event(), anyio.Event()
        self._act = act

    async def work(self) -> str:
        self.calls += 1
        if self.calls == 1:
            self.acting.set()
            await self.finish.wait()
            return "the first process"
        return "the second process"

    async def run(self, value: Any, step: Step) -> object:
        await approved(step)
        return await self._act(step, self.work)


async def do(step: Step, work: Callable[[], Awaitable[str]]) -> object:
    return await step.do("work", work)


async def do_once(step: Step, work: Callable[[], Awaitable[str]]) -> object:
    return await step.do("work", work, at_most_once=True)


async def do_and_write(step: Step, work: Callable[[], Awaitable[str]]) -> object:
    await work()
    return await step.write("note", note)


async def do_and_report(step: Step, work: Callable[[], Awaitable[str]]) -> object:
    told = await work()
    await step.report("work", f"{told} was here")
    return told


async def do_and_wait(step: Step, work: Callable[[], Awaitable[str]]) -> object:
    await work()
    return (await approved(step, name="people again")).id


async def do_and_sleep(step: Step, work: Callable[[], Awaitable[str]]) -> object:
    await work()
    await step.sleep("a while", "1 hour")
    return None


async def do_and_raise(step: Step, work: Callable[[], Awaitable[str]]) -> object:
    raise ValueError(await work())


def note(tx: Transaction) -> str:
    tx.execute("CREATE TABLE IF NOT EXISTS notes (what TEXT)")
    tx.execute("INSERT INTO notes VALUES ('written')")
    return "written"


async def test_a_flow_that_is_held_is_not_run_by_another_process(rig: Rig) -> None:
    slow = Slow(do)
    approval_id = await rig.submit()
    await rig.approve()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.go, slow.run)
        with anyio.fail_after(20):
            await slow.acting.wait()
        rig.clock.advance(LEASE - timedelta(milliseconds=1))
        assert await rig.go(slow.run) == 0
        slow.finish.set()
    assert slow.calls == 1
    assert (await rig.outcome(approval_id)).result == {"value": "the first process"}


TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgres": "SELECT tablename FROM pg_tables WHERE schemaname = 'mcp_hitl'",
}
EVERYTHING = [do, do_once, do_and_write, do_and_report, do_and_wait, do_and_sleep, do_and_raise]


@pytest.mark.parametrize("act", EVERYTHING, ids=lambda act: act.__name__)
async def test_when_lease_and_lock_are_lost_another_takes_over_and_the_first_can_write_nothing(
    rig: Rig, sort: str, act: Callable[[Step, Callable[[], Awaitable[str]]], Awaitable[object]]
) -> None:
    slow, left = Slow(act), list[list[tuple[object, ...]]]()
    approval_id = await rig.submit()
    await rig.approve()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.go, slow.run)
        with anyio.fail_after(20):
            await slow.acting.wait()
        rig.lose_locks()
        assert await rig.go(slow.run) == 1
        left.extend(await everything(rig, sort))
        slow.finish.set()
    assert await everything(rig, sort) == left
    if act is do_once:
        assert (slow.calls, await rig.ended_as(approval_id)) == (1, OutcomeState.UNKNOWN)
    elif act is do:
        assert (await rig.outcome(approval_id)).result == {"value": "the second process"}


async def everything(rig: Rig, sort: str) -> list[list[tuple[object, ...]]]:
    """Every row that a flow could have written."""
    tables = [table for [table] in await rig.rows(TABLES[sort])]
    return [await rig.rows(f"SELECT * FROM {table}") for table in sorted(map(str, tables)) if table != "facts"]


async def test_a_process_that_lives_keeps_its_flow(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_RENEW_SECONDS", 0.005)
    monkeypatch.setattr(Runner, "seconds", 0.005)
    slow = Slow(do)
    approval_id = await rig.submit()
    await rig.approve()
    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(slow.run)}):
        with anyio.fail_after(20):
            await slow.acting.wait()
            for _ in range(3):
                rig.clock.advance(LEASE - timedelta(seconds=1))
                while await lease_left(rig) < LEASE:
                    await anyio.lowlevel.checkpoint()
        assert await rig.go(slow.run) == 0
        slow.finish.set()
        with anyio.fail_after(20):
            while await rig.state(approval_id) is not FlowState.DONE:
                await anyio.lowlevel.checkpoint()
    assert (slow.calls, (await rig.outcome(approval_id)).result) == (1, {"value": "the first process"})


async def test_a_process_that_has_lost_its_flow_stops_running_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = anyio.Event()
    acting = anyio.Event()
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            return
        acting.set()
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()

    async def run(value: Any, step: Step) -> None:
        await step.do("work", work)

    monkeypatch.setattr(claims, "_RENEW_SECONDS", 3600)
    await rig.submit()
    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(run)}):
        with anyio.fail_after(20):
            await acting.wait()
        rig.lose_locks()
        monkeypatch.setattr(claims, "_RENEW_SECONDS", 0.005)
        assert await rig.go(run) == 1
    assert calls == 2


async def test_a_lost_lease_is_noticed_at_its_next_renewal(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_RENEW_SECONDS", 0.2)
    acting, stopped = anyio.Event(), anyio.Event()

    async def work() -> None:
        acting.set()
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()

    async def run(value: Any, step: Step) -> None:
        await step.do("work", work)

    await rig.submit()
    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(run)}):
        with anyio.fail_after(20):
            await acting.wait()
        await rig.rows("UPDATE flows SET epoch = epoch + 1")  # what a claim of another process does
        with anyio.fail_after(20):
            await stopped.wait()


async def test_a_server_that_stops_leaves_its_flows_to_the_next_one_at_once(rig: Rig) -> None:
    slow = Slow(do)
    approval_id = await rig.submit()
    await rig.approve()
    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(slow.run)}):
        with anyio.fail_after(20):
            await slow.acting.wait()
    assert await rig.go(slow.run) == 1
    assert (await rig.outcome(approval_id)).result == {"value": "the second process"}


async def test_what_a_server_claims_while_it_stops_is_left_to_the_next_one_at_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    claiming = anyio.Event()
    write = rig.store.write

    async def slow_to_answer(work: Any) -> Any:
        result = await write(work)
        if result.__class__ is list and result:
            claiming.set()
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
        return result

    slow = Slow(do)
    slow.finish.set()
    approval_id = await rig.submit()
    await rig.approve()
    monkeypatch.setattr(rig.store, "write", slow_to_answer)
    async with serve(rig.desk, {WORK.name: flow_of(slow.run)}):
        with anyio.fail_after(20):
            await claiming.wait()
    monkeypatch.undo()
    await rig.go(slow.run)
    assert await rig.state(approval_id) is FlowState.DONE


async def test_a_server_that_stops_without_its_database_stops_all_the_same(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(do)
    await rig.submit()
    await rig.approve()
    desk = rig.desk

    async def fail(work: Any) -> Any:
        raise Unavailable("The disk went away.")

    async with serve(desk, {WORK.name: flow_of(slow.run)}):
        with anyio.fail_after(20):
            await slow.acting.wait()
        monkeypatch.setattr(rig.store, "write", fail)
    monkeypatch.undo()
    assert await rig.go(slow.run) == 0
    rig.clock.advance(LEASE)
    assert await rig.go(slow.run) == 1


async def test_t14_a_clock_set_back_neither_hides_what_is_runnable_nor_gives_away_what_is_held(rig: Rig) -> None:
    slow = Slow(do)
    rig.clock.advance(timedelta(hours=1))
    await timers_of(rig.desk).catch_up()
    first = await rig.submit()
    rig.clock.advance(timedelta(hours=-1))
    await rig.approve(first)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.go, slow.run)
        with anyio.fail_after(20):
            await slow.acting.wait()
        second = await rig.submit()
        await rig.go(slow.run)
        assert (slow.calls, await rig.state(second)) == (1, FlowState.WAITING)
        slow.finish.set()
    assert await rig.state(first) is FlowState.DONE


async def test_t14_a_renewal_after_the_clock_was_set_back_does_not_shorten_the_lease(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_RENEW_SECONDS", 0.005)
    monkeypatch.setattr(Runner, "seconds", 0.005)
    slow = Slow(do)
    await rig.submit()
    await rig.approve()
    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(slow.run)}):
        with anyio.fail_after(20):
            await slow.acting.wait()
        [before] = await rig.rows("SELECT lease_until FROM flows")
        rig.clock.advance(timedelta(hours=-1))
        renewals = Writes(rig, monkeypatch)
        with anyio.fail_after(20):
            await renewals.second.wait()
        assert await rig.rows("SELECT lease_until FROM flows") >= [before]
        slow.finish.set()


class Writes:
    """Tells of the second write from now on: what came before it was begun after now, and is done."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.second = anyio.Event()
        count = 0
        write = rig.store.write

        async def counted(work: Any) -> Any:
            nonlocal count
            count += 1
            if count == 2:
                self.second.set()
            return await write(work)

        monkeypatch.setattr(rig.store, "write", counted)


async def test_a_process_claims_no_more_than_it_runs(rig: Rig) -> None:
    go_on = anyio.Event()
    acting: list[int] = []

    async def work(number: int) -> None:
        acting.append(number)
        await go_on.wait()

    async def run(value: Any, step: Step) -> None:
        await step.do("work", work, value["n"])

    for number in range(AT_ONCE + 4):
        await rig.submit({"n": number})
    desk = rig.desk
    async with serve(desk, {WORK.name: flow_of(run)}):
        with anyio.fail_after(20):
            while len(acting) < AT_ONCE:
                await anyio.lowlevel.checkpoint()
        held = await rig.rows(f"SELECT count(*) FROM flows WHERE lease_until > {rig.now_ms}")
        assert held == [(AT_ONCE,)]
        go_on.set()
        with anyio.fail_after(20):
            while await rig.rows("SELECT count(*) FROM flows WHERE state = 'done'") != [(AT_ONCE + 4,)]:
                await anyio.lowlevel.checkpoint()
    assert sorted(acting) == list(range(AT_ONCE + 4))


async def lease_left(rig: Rig) -> timedelta:
    """How long the only flow is still held."""
    [(until,)] = await rig.rows("SELECT lease_until FROM flows")
    assert isinstance(until, int)
    return timedelta(milliseconds=until - rig.now_ms)


class Work:
    """Leases on texts, which nobody else wants."""

    name = "work"

    def renew(self, tx: Transaction, lease: str, until: datetime) -> bool:
        return True

    def release(self, tx: Transaction, lease: str, until: datetime) -> bool:
        return True


async def test_a_process_whose_lock_was_lost_claims_under_another(rig: Rig, database: Location) -> None:
    """A server that ends a connection frees its lock, and another process may have it now."""
    held, names = Claims(rig.store, rig.clock, Work(), at_once=2), list[str]()

    def claim(tx: Transaction, taking: Taking[str]) -> list[str]:
        names.append(taking.holder)
        return [taking.holder]

    await held.take(claim, str)
    rig.store.let_go("work-1")
    other = open_store(database)
    assert other.hold("work-1")
    await held.take(claim, str)
    assert names == ["work-1", "work-2"]
    held.drop()
    await other.close()
