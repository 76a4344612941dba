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
from pathlib import Path
from typing import Any

import anyio
import pytest
from engine.rig import PATIENCE, Rig, approved

from mcp_hitl import Step
from mcp_hitl.domain.approvals.approval import OutcomeState

if sys.platform == "win32":
    pytest.skip("signals that stop a process are a POSIX thing", allow_module_level=True)

pytestmark = pytest.mark.anyio
LONG = timedelta(days=3650)
processes = multiprocessing.get_context("forkserver")


@contextmanager
def a_process_that_acts(folder: Path) -> Generator[BaseProcess]:
    """A process that is in the middle of an action, and stays there."""
    begun, begins = processes.Pipe(duplex=False)
    process = processes.Process(target=act, args=(folder, begins), daemon=True)
    process.start()
    try:
        assert begun.poll(PATIENCE) and begun.recv() == "acting"
        yield process
    finally:
        process.kill()
        process.join()


def act(folder: Path, begins: Connection) -> None:
    """Run the flow that is runnable in `folder`, and say when its action has begun. It never ends."""

    async def work() -> None:
        begins.send("acting")
        await anyio.sleep_forever()

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.do("work", work, at_most_once=True)

    anyio.run(Rig(folder).go, run)


async def again(value: Any, step: Step) -> None:
    await approved(step)
    await step.do("work", not_again, at_most_once=True)


async def not_again() -> None:
    raise AssertionError("it must not run a second time")


async def test_t44_a_process_that_is_stopped_keeps_its_action_until_it_is_killed(rig: Rig, tmp_path: Path) -> None:
    approval_id = await rig.submit()
    await rig.approve()
    with a_process_that_acts(tmp_path) as process:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        for leap in (timedelta(minutes=1), timedelta(hours=1), LONG, -LONG):
            rig.clock.advance(leap)
            assert await rig.go(again) == 0
        assert await rig.ended_as(approval_id) is OutcomeState.RUNNING
    rig.clock.advance(LONG)
    assert await rig.go(again) == 1
    assert await rig.ended_as(approval_id) is OutcomeState.UNKNOWN
