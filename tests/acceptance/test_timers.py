"""Many processes run the timers of many approvals that fall due at once: each thing happens exactly once."""

import multiprocessing
import os
import sys
from collections import Counter
from datetime import timedelta

import pytest
from acceptance.timekeeper import let_pass
from desk_samples import Clock
from team_samples import AGENT, a_rulebook, after

from mcp_hitl.config.location import Location
from mcp_hitl.desk import Desk
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.kinds import Limits
from mcp_hitl.domain.policy.policy import Policy, Stage
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.opening import open_store

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]
APPROVALS, PROCESSES = (1_000, 10) if os.environ.get("SOAK") else (100, 4)
BOOK = a_rulebook(
    Policy(
        stages=(Stage(("group:finance",), escalate=(after(24, "group:managers"), after(48, "group:board"))),),
        remind_after=(timedelta(hours=4), timedelta(hours=30)),
    ),
    limits=Limits(per_minute=None),
)


# A fork server that has imported everything, so that a process costs little.
processes = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
processes.set_forkserver_preload(
    ["mcp_hitl.library", "mcp_hitl.engine.runner", "mcp_hitl.store.sqlite", "sqlite_utils"]
)


def let_time_pass(database: Location, hours: float) -> int:
    """Let many processes do what is due, at once; how many approvals they say that they moved."""
    barrier, moved = processes.Barrier(PROCESSES), processes.Queue()
    running = [processes.Process(target=let_pass, args=(database, hours, barrier, moved)) for _ in range(PROCESSES)]
    for process in running:
        process.start()
    together = sum(moved.get(timeout=120) for _ in running)
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    return together


async def test_each_reminder_escalation_and_expiry_happens_once_among_many_processes(database: Location) -> None:
    clock, store = Clock(), open_store(database)
    desk = Desk(store, effects=EFFECTS, rulebook=BOOK, clock=clock)
    ids = [(await desk.approvals.submit(AGENT, "thing", {"n": number})).id for number in range(APPROVALS)]

    once: Counter[tuple[str, str, object]] = Counter()
    for hours, happened in ((5, 1), (49, 4), (24 * 7, 5)):
        moved = let_time_pass(database, hours)
        entries = [recorded.entry for recorded in await desk.evidence.entries()]
        once = Counter((entry.approval, entry.event.value, entry.data.get("due")) for entry in entries)
        assert set(once.values()) == {1}
        assert moved == APPROVALS, f"{hours} hours"
        assert sum(entry.event is not Event.OPENED for entry in entries) == APPROVALS * happened

    kinds = Counter(event for _, event, _ in once)
    assert kinds == {
        "opened": APPROVALS,
        "reminded": 2 * APPROVALS,
        "escalated": 2 * APPROVALS,
        "expired": APPROVALS,
    }
    for approval_id in ids:
        trail = [recorded.entry.event.value for recorded in (await desk.approvals.trail(AGENT, approval_id)).entries]
        assert trail == ["opened", "reminded", "escalated", "reminded", "escalated", "expired"]
    assert (await desk.evidence.verify()).wrong is None
    await store.close()
