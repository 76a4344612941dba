"""`kill -9` of a busy server: what a caller was told is there afterwards, and nothing is there twice."""

import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp_types import ElicitRequestFormParams, ElicitResult
from wires import Person, accept, connect, content, http_server, launcher

pytestmark = pytest.mark.anyio

KILLS = 50 if os.environ.get("SOAK") else 3
WORKERS = 4
MODERN = "2026-07-28"
FLOWS = ("progress", "started", "succeeded")
"""What a flow adds to the log of an approval, each once."""


@dataclass
class Told:
    """What the callers of one server were told until it was killed."""

    kill_after: int
    """Replies until the kill: at a submission or at a decision, whichever it then is."""
    status: dict[str, str] = field(default_factory=dict[str, str])
    unanswered: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    """By worker, the expense whose submission it has not heard of yet."""
    replies: int = 0
    enough: anyio.Event = field(default_factory=anyio.Event)

    def note(self, approval: Any) -> None:
        """Remember a reply."""
        self.status[approval["id"]] = approval["status"]
        self.replies += 1
        if self.replies == self.kill_after:
            self.enough.set()


def decide(form: ElicitRequestFormParams) -> ElicitResult:
    """A person who approves or rejects by the amount that they read."""
    return accept(decision="reject" if '"amount": 1' in form.message else "approve")


async def work(url: str, worker: int, told: Told) -> None:
    """Submit and decide until the server is gone."""
    async with connect(url, MODERN, person=Person(decide)) as client:
        number = 0
        while True:
            number += 1
            expense = {"amount": number, "description": f"Worker {worker}"}
            told.unanswered[worker] = expense
            submitted = content(await client.call_tool("submit-expense", expense))
            del told.unanswered[worker]
            told.note(submitted)
            if number % 3:
                told.note(content(await client.call_tool("approve", {"id": submitted["id"]})))


async def load_and_kill(database: Path, kill_after: int) -> Told:
    """Run a server under load and kill it the moment that a caller has been told something."""
    told = Told(kill_after)
    with http_server(database, start=launcher) as (url, process):
        # Whatever breaks when its server is gone: not the client's behaviour but the server's is looked at here.
        with suppress(Exception):
            async with anyio.create_task_group() as tasks:
                for worker in range(WORKERS):
                    tasks.start_soon(work, url, worker, told)
                with anyio.fail_after(60):
                    await told.enough.wait()
                process.kill()
                process.wait()
                tasks.cancel_scope.cancel()
    assert told.enough.is_set()
    return told


async def everything_pending(client: Client) -> list[dict[str, Any]]:
    """All pages of list-pending."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = content(await client.call_tool("list-pending", {"limit": 100} | cursor))
        found += page["approvals"]
        if "next_cursor" not in page:
            return found
        cursor = {"cursor": page["next_cursor"]}


def check_file(database: Path) -> None:
    """What must hold in the file, whatever happened to its writers."""
    db = sqlite3.connect(database)
    try:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT digest FROM approvals GROUP BY digest HAVING count(*) > 1").fetchall() == []
        assert db.execute("SELECT approval FROM decisions GROUP BY approval HAVING count(*) > 1").fetchall() == []
        events: dict[str, list[str]] = {}
        carried: dict[str, list[str]] = {}
        for approval, event in db.execute(
            "SELECT approval, event FROM audit WHERE event <> 'asked-again' ORDER BY seq"
        ):
            (carried if event in FLOWS else events).setdefault(approval, []).append(event)
        for approval, status, outcome in db.execute("SELECT id, status, outcome ->> 'state' FROM approvals"):
            assert events.pop(approval) == ["opened"] + (["decided", status] if status != "pending" else [])
            begun = FLOWS[1 : 1 + ["none", "running", "succeeded"].index(outcome)]
            # A decision may be faster than the flow's first turn: then the flow acts first, and reports later.
            after = [*begun[:1], *FLOWS[:1], *begun[1:]] if begun else []
            assert carried.pop(approval, []) in ([*begun], [*FLOWS[:1], *begun], after)
            assert status == "approved" or outcome == "none"
            paid = db.execute("SELECT count(*) FROM expenses WHERE approval = ?", [approval]).fetchone()
            assert paid == (1,) if outcome == "succeeded" else paid in ((0,), (1,) if outcome == "running" else (0,))
        assert events == carried == {}
        [(last, count)] = db.execute("SELECT max(seq), count(*) FROM audit").fetchall()
        assert last == count
    finally:
        db.close()


@pytest.mark.parametrize("kill", range(KILLS))
async def test_t09_after_kill_9_everything_that_was_told_is_there_and_nothing_twice(tmp_path: Path, kill: int) -> None:
    database = tmp_path / "hitl.db"
    told = await load_and_kill(database, kill_after=5 + 7 * kill)
    check_file(database)
    with http_server(database) as (url, _):
        async with connect(url, MODERN) as client:
            for approval_id, status in told.status.items():
                approval = content(await client.call_tool("get-approval", {"id": approval_id}))
                assert approval["status"] == status or status == "pending"
            pending = [approval["id"] for approval in await everything_pending(client)]
            assert len(pending) == len(set(pending))
            assert all(told.status.get(approval_id, "pending") == "pending" for approval_id in pending)
            # An agent that heard nothing asks again, and gets the one that there is.
            for expense in told.unanswered.values():
                assert content(await client.call_tool("submit-expense", expense))["status"] == "pending"
    check_file(database)


async def test_t09_an_approval_that_was_told_outlives_the_server_that_told_it(tmp_path: Path) -> None:
    database = tmp_path / "hitl.db"
    with http_server(database, start=launcher) as (url, process):
        async with connect(url, MODERN, person=Person(accept(decision="approve"))) as client:
            expense = content(await client.call_tool("submit-expense", {"amount": 50, "description": "Lunch"}))
            approved = content(await client.call_tool("approve", {"id": expense["id"]}))
            process.kill()
            process.wait()
    check_file(database)
    async with connect(database, MODERN) as client:
        found = content(await client.call_tool("get-approval", {"id": expense["id"]}))
        going_on = {"outcome", "progress", "next", "url"}
        assert {key: found[key] for key in found.keys() - going_on} == {
            key: approved[key] for key in approved.keys() - going_on
        }
        assert await everything_pending(client) == []
    check_file(database)
