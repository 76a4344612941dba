"""Replicas on PostgreSQL under load, while the server, its connections and the replicas fail at random.

Nothing that was told is lost, nothing is there twice, the chain verifies, timers and steps keep their promises.
"""

import os
import random
import secrets
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import postgres
import psycopg
import pytest
from acceptance.replicas import Replica
from acceptance.soak_flow import NOTES
from acceptance.soak_load import Load
from wires import unmeasured

from mcp_hitl.desk import Desk
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.postgres import PostgresStore

pytestmark = pytest.mark.anyio

SOAK = bool(os.environ.get("SOAK"))
FAULTS, REPLICAS, CLIENTS = (200, 4, 6) if SOAK else (4, 2, 3)
HOW_OFTEN = {"end connections": 10, "kill a replica": 4, "restart fast": 3, "restart at once": 3}
SEED = int(os.environ.get("SOAK_SEED", "1"))
SETTLED_SECONDS = 120.0
"""A flow of a dead process goes on after 30 seconds."""
SCHEMA = 'schema = { properties = { n = { type = "integer" } }, required = ["n"] }\nlimits = { per_minute = "none" }\n'
POLICY = f"""
[kinds.order]
title = "Order {{n}}"
flow = "acceptance.soak_flow:OrderFlow"
{SCHEMA}
[kinds.thing]
title = "Thing {{n}}"
{SCHEMA}
[kinds.brief]
title = "Brief {{n}}"
timeout = "3 seconds"
remind_after = ["1 second"]
{SCHEMA}"""
END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT %s"
)
UNSETTLED = (
    "SELECT id, kind, status FROM approvals WHERE outcome::json ->> 'state' = 'running' AND kind = 'order' "
    "OR kind = 'order' AND status = 'approved' AND outcome::json ->> 'state' = 'none' "
    "OR kind = 'brief' AND status = 'pending'"
)


class Place:
    """A database, its server, and the replicas on it."""

    def __init__(self, folder: Path) -> None:
        """Start them."""
        self.server = postgres.mortal()
        self.url = self.server.create(f"soak_{secrets.token_hex(4)}")
        self.notes = folder / "notes"
        (folder / "policy.toml").write_text(POLICY)
        variables = unmeasured(
            MCP_HITL_CONFIG=str(folder / "policy.toml"),
            MCP_HITL_KEY="ab" * 32,
            PYTHONPATH=str(Path(__file__).parents[1]),
            **{NOTES: str(self.notes)},
        )
        self.replicas = [Replica(self.url, variables)]
        postgres.run(self.url, "CREATE TABLE mcp_hitl.booked (n INTEGER)")
        self.replicas += [Replica(self.url, variables) for _ in range(REPLICAS - 1)]

    def urls(self) -> list[str]:
        """Where the replicas answer that are up."""
        return [replica.url for replica in self.replicas if replica.url]

    def fault(self, kind: str, chance: random.Random) -> None:
        """Let something fail, and come back."""
        if kind == "end connections":
            with psycopg.connect(self.url, autocommit=True) as db:
                db.execute(END, (chance.choice((1, 3, 1000)),))
        elif kind == "kill a replica":
            replica = chance.choice(self.replicas)
            replica.kill()
            replica.start()
        else:
            self.server.stop({"restart fast": "fast", "restart at once": "immediate"}[kind])
            self.server.start()

    def rows(self, statement: str) -> list[Any]:
        """What is in the database."""
        with psycopg.connect(self.url, autocommit=True, options="-c search_path=mcp_hitl") as db:
            return db.execute(statement.encode()).fetchall()

    def done(self) -> list[list[str]]:
        """What steps did outside the database: the step, the number and the key of each time."""
        return [line.split() for line in self.notes.read_text().splitlines()]


def kinds_of_faults(chance: random.Random) -> list[str]:
    """Each kind as often as it should be, and at least once, in any order."""
    total = sum(HOW_OFTEN.values())
    kinds = [kind for kind, share in HOW_OFTEN.items() for _ in range(max(1, FAULTS * share // total))]
    chance.shuffle(kinds)
    return kinds


async def settled(place: Place) -> None:
    """Return when every order has gone on as far as it can, and every brief request has expired."""
    with anyio.move_on_after(SETTLED_SECONDS):
        while True:
            if not await anyio.to_thread.run_sync(place.rows, UNSETTLED):
                return
            await anyio.sleep(0.2)  # the replicas tell nobody here
    assert place.rows(UNSETTLED) == []


async def test_t09_nothing_that_replicas_tell_is_lost_or_done_twice_whatever_fails(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    place = await anyio.to_thread.run_sync(Place, tmp_path)
    load = Load(place.urls)
    try:
        async with anyio.create_task_group() as tasks:
            for number in range(CLIENTS):
                tasks.start_soon(load.client, SEED + number)
            for kind in kinds_of_faults(chance):
                with anyio.fail_after(120):
                    await load.replies(chance.randint(3, 15))
                await anyio.to_thread.run_sync(place.fault, kind, chance)
            with anyio.fail_after(120):
                await load.replies(20)
            load.stopping = True
        await settled(place)
        check_what_was_told(place, load)
        check_nothing_is_there_twice(place)
        check_steps(place)
        store = PostgresStore(place.url)
        assert (await Desk(store, effects=EFFECTS).evidence.verify()).wrong is None
        await store.close()
    finally:
        for replica in place.replicas:
            replica.kill()
        print(dict(load.told), *(line for replica in place.replicas for line in replica.said), sep="\n")


def check_what_was_told(place: Place, load: Load) -> None:
    """Every answer that a client got is true."""
    assert load.wrong == []
    held = {id_: rest for id_, *rest in place.rows("SELECT id, payload::json ->> 'n', kind, status FROM approvals")}
    for n, id_ in load.ids.items():
        assert held[id_][:2] == [str(n), load.asked[n]], f"number {n} was told as {id_}"
    there = {int(n) for n, *_ in held.values()}
    assert there & load.absent == set(), "was told as unchanged, and is there"
    for id_, status in load.status.items():
        assert held[id_][2] == status, id_
    decided = {id_ for [id_] in place.rows("SELECT approval FROM decisions")}
    assert decided & load.undecided == set(), "was told as unchanged, and is decided"
    assert {id_: many for id_, many in load.redeemed.items() if many > 1} == {}
    outcome = dict(place.rows("SELECT id, outcome::json ->> 'state' FROM approvals WHERE kind = 'thing'"))
    for id_, many in load.redeemed.items():
        assert not many or outcome[id_] in ("running", "succeeded"), id_
    assert {outcome[id_] for id_ in load.not_redeemed} <= {"none"}
    assert {outcome[id_] for id_ in load.reported} <= {"succeeded"}


def check_nothing_is_there_twice(place: Place) -> None:
    """One approval for each number, one decision on each, each event once, and numbers of entries without a gap."""
    assert place.rows("SELECT payload FROM approvals GROUP BY payload HAVING count(*) > 1") == []
    assert place.rows("SELECT approval FROM decisions GROUP BY approval HAVING count(*) > 1") == []
    once = "SELECT approval, event FROM audit WHERE event NOT IN ('asked-again', 'progress') AND approval <> ''"
    assert place.rows(f"{once} GROUP BY approval, event HAVING count(*) > 1") == []
    [[last, entries]] = place.rows("SELECT max(seq), count(*) FROM audit")
    assert last == entries
    [[briefs]] = place.rows("SELECT count(*) FROM approvals WHERE kind = 'brief'")
    events = "SELECT count(*) FROM audit JOIN approvals ON id = approval WHERE kind = 'brief' AND event = "
    assert place.rows(f"{events} 'expired'") == [(briefs,)]


def check_steps(place: Place) -> None:
    """Each kind of step has kept its promise."""
    done, keys = Counter[tuple[str, str]](), dict[tuple[str, str], set[str]]()
    for step, n, key in place.done():
        done[step, n] += 1
        keys.setdefault((step, n), set()).add(key)
    assert [one for one, of_step in keys.items() if len(of_step) > 1] == []
    assert place.rows("SELECT n FROM booked GROUP BY n HAVING count(*) > 1") == []
    booked = {str(n) for [n] in place.rows("SELECT n FROM booked")}
    paying = {n for [n] in place.rows(PAYING)}
    for n, status, outcome, error in place.rows(ORDERS):
        assert done["pay", n] <= 1, n
        if status != "approved":
            assert outcome == "none" and n not in booked and not done["pay", n], n
        elif outcome == "succeeded":
            assert n in booked and done["pay", n] == 1 and min(done["price", n], done["ship", n]) >= 1, n
        else:
            # Unknown is for the step alone that must not run twice, and only where it was interrupted.
            assert (outcome, done["ship", n], n in booked, n in paying) == (
                "unknown",
                0,
                True,
                True,
            ), (n, error, place.rows(JOURNAL.replace("?", n)))


ORDERS = (
    "SELECT payload::json ->> 'n', status, outcome::json ->> 'state', outcome::json ->> 'error' "
    "FROM approvals WHERE kind = 'order'"
)
JOURNAL = (
    "SELECT name, branch, position, journal.state, output, turn FROM journal JOIN flows ON flows.id = flow "
    "JOIN approvals ON approvals.id = approval WHERE kind = 'order' AND payload::json ->> 'n' = '?' ORDER BY position"
)
PAYING = (
    "SELECT payload::json ->> 'n' FROM journal JOIN flows ON flows.id = flow JOIN approvals ON approvals.id = approval "
    "WHERE name = 'pay' AND journal.state <> 'done'"
)
