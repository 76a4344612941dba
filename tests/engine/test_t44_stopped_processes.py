"""Processes that are stopped, and that die, in the middle of an action: another takes over from the dead alone."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import anyio
import pytest
from desk_samples import ANA
from engine.rig import PATIENCE, Rig, approved

from mcp_hitl import Step
from mcp_hitl.config.location import Location
from mcp_hitl.desk.doctor_facts import examine
from mcp_hitl.doctor.findings.state import Found, state_findings
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.values.errors import Conflict
from mcp_hitl.store.opening import open_store

if sys.platform == "win32":
    pytest.skip("signals that stop a process are a POSIX thing", allow_module_level=True)

pytestmark = pytest.mark.anyio
LONG = timedelta(days=3650)
CODES = {"process-stopped", "action-abandoned", "outcome-unknown"}
processes = multiprocessing.get_context("forkserver")


@contextmanager
def a_process_that_acts(database: Location, ahead: timedelta = timedelta()) -> Generator[BaseProcess]:
    """A process that is in the middle of an action, and stays there."""
    begun, begins = processes.Pipe(duplex=False)
    process = processes.Process(target=act, args=(database, ahead, begins), daemon=True)
    process.start()
    try:
        assert begun.poll(PATIENCE) and begun.recv() == "acting"
        yield process
    finally:
        process.kill()
        process.join()


def act(database: Location, ahead: timedelta, begins: Connection) -> None:
    """Run the flow that is runnable in a database, and say when its action has begun. It never ends."""

    async def work() -> None:
        begins.send("acting")
        await anyio.sleep_forever()

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.do("work", work, at_most_once=True)

    rig = Rig(open_store(database))
    rig.clock.advance(ahead)
    anyio.run(rig.go, run)


async def found(rig: Rig) -> set[str]:
    """What doctor finds about actions that somebody began."""
    seen = await rig.store.read(lambda view: examine(view, rig.clock))
    alive = frozenset(holder for _, holder in seen.silent if rig.store.is_held(holder))
    return {one.code for one in state_findings(Found(seen, alive=alive), rig.rulebook)} & CODES


async def again(value: Any, step: Step) -> None:
    await approved(step)
    await step.do("work", not_again, at_most_once=True)


async def not_again() -> None:
    raise AssertionError("it must not run a second time")


async def test_t44_a_process_that_is_stopped_keeps_its_action_until_it_is_killed(rig: Rig, database: Location) -> None:
    approval_id = await rig.submit()
    await rig.approve()
    with a_process_that_acts(database) as process:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        for leap in (timedelta(minutes=1), timedelta(hours=1), LONG, -LONG):
            rig.clock.advance(leap)
            assert await rig.go(again) == 0
        assert await rig.ended_as(approval_id) is OutcomeState.RUNNING
        assert await found(rig) == {"process-stopped"}
        with pytest.raises(Conflict, match="Kill it first"):
            await rig.desk.decisions.reconcile(ANA, approval_id, True, assurance=Assurance.LOCAL)
    rig.clock.advance(LONG)
    assert await rig.go(again) == 1
    assert await rig.ended_as(approval_id) is OutcomeState.UNKNOWN


@pytest.mark.parametrize("ahead", [timedelta(), LONG], ids=str)
@pytest.mark.parametrize("slot_is_taken", [True, False])
async def test_t44_what_a_dead_process_left_is_found_and_settled_by_a_person(
    rig: Rig, database: Location, ahead: timedelta, *, slot_is_taken: bool
) -> None:
    approval_id = await rig.submit()
    await rig.approve()
    with a_process_that_acts(database, ahead):
        pass
    rig.clock.advance(timedelta(minutes=1))
    if slot_is_taken:
        await rig.store.write(lambda tx: tx.flows.disown("flows-1", []))  # as the next that holds this lock does
    assert await found(rig) == {"action-abandoned"}
    settled = await rig.desk.decisions.reconcile(ANA, approval_id, True, assurance=Assurance.LOCAL)
    assert settled.outcome.state is OutcomeState.SUCCEEDED
    assert await found(rig) == set()
    assert await rig.go(again) == 0
