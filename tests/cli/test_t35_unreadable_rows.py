"""A row that somebody damaged is named on every surface, and takes nothing else away."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from asked import AGENT, on_desk
from terminal import run
from web.rig import serving
from wires import connect, text

from mcp_hitl.desk import Desk
from mcp_hitl.desk.timekeeping import system_clock
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.values.errors import Unreadable
from mcp_hitl.process.desk_views import views_of
from mcp_hitl.process.workers import runner_of, timers_of
from mcp_hitl.protocols.mcp.callers import always
from mcp_hitl.server.app import ApprovalServer

SAYS = "cannot be read: another program changed it, or the disk damaged it."
DAMAGES = {
    "payload": "payload = 'no JSON'",
    "payload list": "payload = '[1]'",
    "bytes": "title = CAST(x'ff41' AS TEXT)",
    "policy": "policy = '{}'",
    "time": "requested_at = 9000000000000000",
    "status": 'outcome = \'{"state": "lost"}\'',
    "escalated": "escalated = '5'",
}


def damage(database: Path, change: str, where: str) -> None:
    """Change rows past this program, its triggers and its checks."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        assert db.execute(f"UPDATE {change} WHERE {where}").rowcount > 0


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with three pending and three ended requests."""
    return tmp_path / "hitl.db"


def filled(database: Path) -> list[str]:
    """Ask for five things, and cancel three of them; the second of each is to be damaged."""

    async def happen(desk: Desk) -> list[str]:
        asked = [await desk.approvals.submit(AGENT, "action", {"n": n}, claim=f"Number {n}") for n in range(6)]
        for one in asked[3:]:
            await desk.approvals.cancel(AGENT, one.id, "Not needed")
        return [one.id for one in asked]

    begun, ticks = system_clock() - timedelta(minutes=1), count()  # each at a time of its own, so that ids are in order
    return on_desk(database, happen, clock=lambda: begun + timedelta(milliseconds=next(ticks)))


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
def test_t35_the_desk_and_the_terminal_show_the_rest(database: Path, change: str) -> None:
    ids = filled(database)
    damage(database, f"approvals SET {change}", f"id IN ('{ids[1]}', '{ids[4]}')")
    done = run(database, "pending")
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert f"{ids[1]} {SAYS} Run `mcp-hitl audit verify`" in done.stdout
    assert "Number 0" in done.stdout and "Number 2" in done.stdout and "Number 1" not in done.stdout
    page = json.loads(run(database, "pending", "--json", "--limit", "2").stdout)
    assert [one["id"] for one in page["approvals"]] == ids[:1]
    assert [one["id"] for one in page["unreadable"]] == ids[1:2]
    rest = json.loads(run(database, "pending", "--json", "--cursor", page["next_cursor"]).stdout)
    assert [one["id"] for one in rest["approvals"]] == ids[2:3] and "unreadable" not in rest
    one = run(database, "show", ids[1])
    assert (one.returncode, one.stdout) == (2, "") and f"{ids[1]} {SAYS}" in one.stderr and "Trace" not in one.stderr
    assert run(database, "show", ids[2]).returncode == 0

    async def look(desk: Desk) -> None:
        for words in (None, "not-there", "number"):
            past = await desk.search.history(AGENT, text=words)
            assert [seen.id for seen in past.approvals] == ([] if words == "not-there" else [ids[5], ids[3]])
            found = await desk.search.pending(AGENT, text=words)
            assert [seen.id for seen in found.approvals] == ([] if words == "not-there" else [ids[0], ids[2]])
        numbers = await desk.search.numbers()
        assert sum(kind.resolved for kind in numbers.kinds) + numbers.unreadable in {3, 2}
        earlier = await desk.approvals.earlier(AGENT, await desk.approvals.get(AGENT, ids[2]))
        assert earlier.unreadable == 2 and ids[1] not in [seen.id for seen in earlier.shown]
        assert await desk.search.next_pending(ids[0]) == ids[2]
        news = await desk.search.news(AGENT, 0, 100)
        assert news is not None and news.unreadable and len(news.approvals) == 4
        with pytest.raises(Unreadable):
            await desk.approvals.get(AGENT, ids[4])

    on_desk(database, look)


def test_t35_tools_resources_and_the_inbox_show_the_rest(database: Path) -> None:
    ids = filled(database)
    damage(database, "approvals SET payload = 'no JSON'", f"id IN ('{ids[1]}', '{ids[4]}')")

    async def main() -> None:
        async with serving(database) as place:
            server = ApprovalServer(place.desk, always(AGENT), views=views_of(place.desk, inbox="there"), key=b"k" * 32)
            async with connect(server.mcp, "2025-11-25") as client:
                listed = await client.call_tool("list-pending", {})
                assert not listed.is_error and f"{ids[1]} {SAYS}" in text(listed) and "Number 2" in text(listed)
                resource: Any = (await client.read_resource("approvals://pending")).contents[0]
                assert [one["id"] for one in json.loads(resource.text)["unreadable"]] == [ids[1]]
                prompt: Any = await client.get_prompt("review-pending")
                assert f"{ids[1]} {SAYS}" in prompt.messages[0].content.text
                one = await client.call_tool("get-approval", {"id": ids[1]})
                assert one.is_error and one.structured_content["code"] == "unreadable"
            import httpx2

            cookie = place.headers(await place.signed_in())
            async with httpx2.AsyncClient(base_url=place.address, headers={"cookie": cookie["cookie"]}) as http:
                for path, damaged, others in (
                    ("/", ids[1], ids[0:3:2]),
                    ("/history", ids[4], ids[3:6:2]),
                    (f"/approvals/{ids[2]}", None, ids[2:3]),
                    ("/numbers", None, []),
                ):
                    page = await http.get(path)
                    assert page.status_code == 200, page.text
                    assert all(other in page.text for other in others)
                    assert damaged is None or f"{damaged} {SAYS}" in page.text
                assert (await http.get("/changes?after=0")).json() == {"reload": True}
                assert (await http.get(f"/approvals/{ids[1]}")).status_code == 500

    anyio.run(main)


def test_t35_timers_flows_and_the_eraser_go_on_with_the_others(database: Path) -> None:
    later = system_clock() + timedelta(days=30)

    async def happen(desk: Desk) -> list[str]:
        asked = [
            await desk.approvals.submit(AGENT, "expense", {"amount": n + 1, "currency": "EUR", "description": "x"})
            for n in range(3)
        ]
        await runner_of(desk).catch_up()
        return [one.id for one in asked]  # fmt: skip

    ids = on_desk(database, happen)
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        assert db.execute(f"UPDATE journal SET state = 'lost' WHERE flow IN "
                          f"(SELECT id FROM flows WHERE approval = '{ids[0]}')").rowcount > 0  # fmt: skip
    damage(database, "approvals SET payload = 'no JSON'", f"id = '{ids[1]}'")

    async def go_on(desk: Desk) -> None:
        await timers_of(desk).catch_up()
        assert (await desk.approvals.get(AGENT, ids[2])).status is Status.EXPIRED
        await runner_of(desk).catch_up()
        assert (await desk.approvals.get(AGENT, ids[2])).outcome.state.value != "running"
        assert await desk.evidence.erase(None, older_than=timedelta(0)) >= 1

    on_desk(database, go_on, clock=lambda: later)


@pytest.mark.parametrize("change", ["value = 'x' WHERE name = 'clock'", "value = 'x' WHERE name = 'profile'"])
def test_t35_a_fact_that_cannot_be_read_is_told_and_not_a_traceback(database: Path, change: str) -> None:
    filled(database)
    value, _, where = change.partition(" WHERE ")
    damage(database, f"facts SET {value}", where)
    done = run(database, "pending")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Something stored in the database cannot be read" in done.stderr and "Traceback" not in done.stderr
