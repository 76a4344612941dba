"""A desk that moves to another database: whole, unbroken, and never in two places."""

import multiprocessing
import os
import re
import resource
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import postgres
import psycopg
import pytest
from acceptance.flow_worker import ORDER, SHIPMENT, OrderFlow
from desk_samples import AGENT, ANA, Clock, said, say
from samples import START
from store.test_postgres_faults import Line

from mcp_hitl.cli.migrate import check
from mcp_hitl.config import Location
from mcp_hitl.desk import Desk
from mcp_hitl.desk.transactions.log_entries import begin
from mcp_hitl.desk.transactions.pause import pause, resume
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.approvals.clients import Client, Transport
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.approvals.session import Session
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import HitlError, Invalid, Unavailable, Uncertain
from mcp_hitl.domain.values.ids import flow_id
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import runner_of, timers_of
from mcp_hitl.store import opening
from mcp_hitl.store.moving import TOGETHER, End
from mcp_hitl.store.opening import move, open_store
from mcp_hitl.store.postgres.end import PostgresEnd
from mcp_hitl.store.sqlite.connection import APPLICATION_ID
from mcp_hitl.store.sqlite.end import SqliteEnd
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

if sys.platform == "win32":
    pytest.skip("SIGKILL is a POSIX thing", allow_module_level=True)

T = TypeVar("T")
WAYS = ("sqlite → postgres", "postgres → sqlite", "sqlite → sqlite", "postgres → postgres")
BOTH = WAYS[:2]
processes = multiprocessing.get_context("fork")


class Way:
    """From a database to another one."""

    def __init__(self, folder: Path, way: str) -> None:
        kinds = way.split(" → ")
        self.folder = folder
        self.source, self.target = (self._empty(kind, name) for kind, name in zip(kinds, ("from", "to"), strict=True))

    def _empty(self, kind: str, name: str) -> Location:
        return Location(str(self.folder / f"{name}.db") if kind == "sqlite" else postgres.empty_database())

    def move(self, check: Callable[[View], None] = check) -> tuple[int, str]:
        return move(self.source, self.target, check)


@pytest.fixture
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    """From one kind of database to another; where a test does not say, the first."""
    return Way(tmp_path, getattr(request, "param", WAYS[0]))


DESKTOP = Client("Desktop", "1", "2025-11-25", Transport.STDIO, forms=False, url=False)
each_way = pytest.mark.parametrize("way", WAYS, indirect=True)
both_ways = pytest.mark.parametrize("way", BOTH, indirect=True)


def at(location: Location, work: Callable[[Desk], Awaitable[T]]) -> T:
    """What `work` returns, with a desk on the database."""

    async def main() -> T:
        store = open_store(location)
        try:
            return await work(Desk(store, effects=EFFECTS, clock=Clock()))
        finally:
            await store.close()

    return anyio.run(main)


async def goes_on(desk: Desk) -> None:
    """Something is asked, and the log continues."""
    await desk.approvals.submit(AGENT, "action", {"n": (await desk.evidence.head())[0]})
    assert (await desk.evidence.verify()).wrong is None


async def story(desk: Desk) -> None:
    """Requests in every state, and something in nearly every table."""
    asked = [await desk.approvals.submit(AGENT, "action", {"n": n, "text": "später \uffff ✓"}) for n in range(4)]
    lunch = {"amount": 50, "currency": "USD", "description": "Lunch"}
    expense = await desk.approvals.submit(AGENT, "expense", lunch, dedup_key="lunch")
    await desk.approvals.submit(AGENT, "counter", {})
    for one in asked[:2]:
        await say(desk, said(ANA, one))
    await desk.approvals.redeem(AGENT, asked[0].id, asked[0].digest)
    await say(desk, said(ANA, asked[2], Verdict.REJECT, comment="no"))
    await say(desk, said(ANA, expense))
    await desk.approvals.edit(ANA, Shown.of(asked[3]), {"n": 5}, assurance=Assurance.LOCAL)
    await desk.stops.pause(ANA, "question")
    await desk.inbox.offer_link(ANA)
    at = desk.clock()
    session = Session(
        digest="digest",
        token_digest="token",
        who=ANA,
        assurance=Assurance.LOCAL,
        authenticated_at=at,
        since=at,
        until=at,
    )
    await desk.store.write(lambda tx: (tx.sessions.add(session), tx.clients.meet(DESKTOP, at)))


def held(location: Location) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, but for what belongs to a place."""
    end = end_of(location)
    with closing(end):
        end.begin()
        rows = {
            table: sorted(
                (row for page in end.rows(table, sorted(columns - {"rowid"} - {"one", "only"})) for row in page),
                key=str,
            )
            for table, columns in end.tables().items()
            if table not in ("commits", "migrations")
        }
    rows["facts"] = [row for row in rows["facts"] if row[0] not in ("boot", "inbox", "server", "moved")]
    return rows


def end_of(location: Location, *, source: bool = True) -> End:
    return SqliteEnd(location, source=source) if location.file else PostgresEnd(location, source=source)


def is_empty(location: Location) -> bool:
    """Whether there is nothing of ours in a database."""
    if location.file:
        if not location.file.exists():
            return True
        with closing(sqlite3.connect(location.file)) as db:  # which undoes what a killed process has begun
            return db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    with psycopg.connect(location.written) as db:
        return db.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'mcp_hitl'").fetchone() == (0,)


@each_way
def test_everything_arrives_as_it_was_and_the_log_goes_on(way: Way) -> None:
    at(way.source, story)
    before = held(way.source)
    seq, head = way.move()
    assert held(way.target) == before
    assert {table for table, rows in before.items() if not rows} == {"expenses", "journal", "progress"}

    async def continues(desk: Desk) -> None:
        one = await desk.approvals.submit(AGENT, "action", {"n": "later"})
        await say(desk, said(ANA, one))
        entries = await desk.evidence.entries()
        assert entries[seq].previous == entries[seq - 1].hash == head
        assert (await desk.evidence.verify(expect=head)).wrong is None

    at(way.target, continues)


@both_ways
def test_t43_what_was_approved_is_used_once_and_what_is_pending_runs_out_there(way: Way) -> None:
    at(way.source, story)
    way.move()

    async def use(desk: Desk) -> None:
        rows = await desk.store.read(lambda view: view.execute("SELECT id FROM approvals WHERE kind = 'action'"))
        actions = [await desk.approvals.get(AGENT, str(id_)) for [id_] in rows]
        found = {one.payload["n"]: one for one in actions}
        assert (await desk.approvals.redeem(AGENT, found[1].id, found[1].digest)).outcome.state is OutcomeState.RUNNING
        for used in (found[0], found[1]):
            with pytest.raises(HitlError):
                await desk.approvals.redeem(AGENT, used.id, used.digest)

    async def expire(desk: Desk) -> None:
        assert (await desk.search.pending(ANA)).approvals
        clock = desk.clock.wall
        assert isinstance(clock, Clock)
        clock.advance(timedelta(days=8))
        await timers_of(desk).catch_up()
        assert not (await desk.search.pending(ANA)).approvals

    at(way.target, use)
    at(way.target, expire)


BOOKED = "CREATE TABLE {}booked (price INTEGER)"


@both_ways
def test_a_flow_that_moves_in_the_middle_ends_there_and_does_nothing_twice(way: Way) -> None:
    OrderFlow.notes = way.folder / "notes"

    async def carry_on(desk: Desk, *, minutes: int, until: str) -> None:
        rulebook = Rulebook(kinds={ORDER.name: ORDER, SHIPMENT.name: SHIPMENT})
        desk = Desk(desk.store, effects=EFFECTS, rulebook=rulebook, clock=Ticking(minutes))
        order = await desk.approvals.submit(AGENT, ORDER.name, {"order": 17}, dedup_key="order 17")
        runner = runner_of(desk, {ORDER.name: OrderFlow})
        while not any(line.startswith(until) for line in noted()):
            await runner.catch_up()
            for approval in (await desk.search.pending(ANA)).approvals:
                await say(desk, said(ANA, approval))
        if until == "ship":
            assert await desk.store.read(lambda view: view.flows.state(flow_id(order.id))) is FlowState.DONE
            assert await desk.store.read(lambda view: view.execute("SELECT price FROM booked")) == [(12,)]
            assert (await desk.evidence.verify()).wrong is None

    def noted() -> list[str]:
        return OrderFlow.notes.read_text().splitlines() if OrderFlow.notes.exists() else []

    at(way.source, lambda desk: desk.evidence.head())
    on(way.source, BOOKED)
    on(way.target, "CREATE SCHEMA mcp_hitl", BOOKED)
    at(way.source, partial(carry_on, minutes=0, until="pay"))
    before = held(way.source)
    assert all(before[table] for table in ("flows", "journal", "progress", "booked"))
    way.move()
    assert held(way.target) == before
    at(way.target, partial(carry_on, minutes=1, until="ship"))
    assert sorted(line.split()[0] for line in noted()) == ["pay", "price", "ship"]


class Ticking:
    """A clock that goes on by a millisecond each time it is asked."""

    def __init__(self, minutes: int) -> None:
        self._now = START + timedelta(minutes=minutes)

    def __call__(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now


def on(location: Location, *statements: str) -> None:
    """Run statements as another program does, on either kind of database; {} is where our tables are."""
    if location.file is None:
        postgres.run(location.written, *(one.format("mcp_hitl.") for one in statements))
        return
    with closing(sqlite3.connect(location.file, isolation_level=None)) as db:
        for one in statements:
            if "SCHEMA" not in one:
                db.execute(one.format(""))


def opens_nowhere(location: Location, where: str) -> None:
    """Whoever still names the old database is told where the desk is, whatever it wants to do there."""
    for use in (lambda: at(location, story), lambda: opening.glance(location, lambda view: view.log.head())):
        with pytest.raises(Unavailable) as refused:
            use()
        assert where in str(refused.value)


@both_ways
def test_t43_the_database_that_the_desk_has_left_says_where_it_is(way: Way) -> None:
    at(way.source, story)
    way.move()
    opens_nowhere(way.source, f"was moved to {way.target}. Name that instead")
    with pytest.raises(Unavailable, match="was moved to"):
        way.move()
    with pytest.raises(Unavailable, match="was moved to"):
        move(way.source, Location(str(way.folder / "another.db")), check)
    assert not (way.folder / "another.db").exists()


def test_t43_a_process_that_was_connected_under_another_name_cannot_go_on(tmp_path: Path) -> None:
    url = postgres.empty_database()

    async def main() -> None:
        store = open_store(Location(f"{url}&application_name=mine"))
        await store.write(lambda tx: tx.facts.set_governed())
        await anyio.to_thread.run_sync(move, Location(url), Location(str(tmp_path / "to.db")), check)
        for use in (store.write, store.read, store.survey):
            with pytest.raises(Unavailable, match="was moved to"):
                await use(lambda tx: tx.facts.governed())
        await store.close()

    anyio.run(main)


@pytest.mark.parametrize("used", ["source", "target"])
@both_ways
def test_t43_nothing_moves_while_somebody_uses_either_end(way: Way, used: str) -> None:
    at(way.source, story)
    there: Location = getattr(way, used)

    async def use(desk: Desk) -> None:
        with pytest.raises((Unavailable, Invalid), match=rf"{re.escape(str(there))} is in use\. Stop every server"):
            await anyio.to_thread.run_sync(way.move)

    at(there, use)
    at(way.source, goes_on)


def test_only_an_empty_database_is_moved_to(way: Way, tmp_path: Path) -> None:
    at(way.source, story)
    at(way.target, story)
    refusals = {
        str(way.target): "has something in it already",
        str(way.source): "are the same database",
        str(tmp_path / "link.db"): "are the same database",
        str(tmp_path / "other.db"): "another program's database",
        str(tmp_path / "newer.db"): "made by another version",
    }
    (tmp_path / "link.db").symlink_to(tmp_path / "from.db")
    for name, lines in (
        ("other.db", "CREATE TABLE t (x); PRAGMA user_version = 3"),
        ("newer.db", f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1"),
    ):
        with closing(sqlite3.connect(tmp_path / name)) as db:
            db.executescript(lines)
    for target, why in refusals.items():
        with pytest.raises(HitlError, match=why):
            move(way.source, Location(target), check)
    older = postgres.empty_database()
    postgres.run(
        older,
        "CREATE SCHEMA mcp_hitl",
        "CREATE TABLE mcp_hitl.migrations (step INTEGER)",
        "INSERT INTO mcp_hitl.migrations VALUES (1)",
    )
    with pytest.raises(Invalid, match="another version"):
        move(way.source, Location(older), check)
    for missing in (Location(str(tmp_path / "none.db")), Location(postgres.empty_database())):
        with pytest.raises(Invalid, match="nothing to move"):
            move(missing, Location(str(tmp_path / "to.db")), check)
    at(way.source, goes_on)


def test_a_log_that_does_not_verify_stays_where_it_is(way: Way) -> None:
    at(way.source, story)
    assert way.source.file is not None
    with closing(sqlite3.connect(way.source.file, isolation_level=None)) as db:
        db.execute("DROP TRIGGER audit_fixed")
        db.execute("UPDATE audit SET actor = 'os:eve' WHERE seq = 2")
    with pytest.raises(Unavailable, match="The evidence does not verify: entry 2"):
        way.move()
    assert is_empty(way.target)


def test_an_older_copy_does_not_become_the_newest_by_moving(way: Way) -> None:
    assert way.source.file is not None
    at(way.source, story)
    copy = way.source.file.read_bytes()
    at(way.source, lambda desk: desk.stops.pause(ANA, None))
    way.source.file.write_bytes(copy)
    with pytest.raises(Unavailable, match="older copy"):
        way.move()
    assert is_empty(way.target)


@both_ways
def test_a_table_of_somebody_elses_moves_where_it_is_there_too(way: Way) -> None:
    at(way.source, story)
    made = "CREATE TABLE {}orders (id INTEGER PRIMARY KEY, price INTEGER NOT NULL)"
    on(way.source, made, "INSERT INTO {}orders VALUES (3, 12)")
    with pytest.raises(Invalid, match="the table “orders”, which one of your programs made"):
        way.move()
    on(way.target, "CREATE SCHEMA mcp_hitl", made)
    way.move()
    assert held(way.target)["orders"] == [(3, 12)]


def in_a_process(work: Callable[[], object]) -> int:
    """Run `work` in a process of its own; how that ended."""

    def main() -> None:
        try:
            work()
        except HitlError as error:
            print(error, file=sys.stderr)
            os._exit(2)
        os._exit(0)

    process = processes.Process(target=main)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def killing(method: str, which: type[Any], *, after: bool, call: int = 1) -> None:
    """Let this process kill itself before or after a call of a method."""
    real, calls = getattr(which, method), 0

    def mortal(self: object, *given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(self, *given)
        if calls == call and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(which, method, mortal)


def kinds(way: Way) -> list[type[Any]]:
    return [PostgresEnd if location.file is None else SqliteEnd for location in (way.source, way.target)]


@both_ways
def test_t43_a_move_that_is_killed_in_the_middle_leaves_an_empty_target(way: Way) -> None:
    at(way.source, story)

    def killed() -> None:
        killing("insert", kinds(way)[1], after=True, call=5)
        way.move()

    assert in_a_process(killed) == -signal.SIGKILL
    assert is_empty(way.target)
    at(way.source, goes_on)
    before = held(way.source)
    way.move()
    assert held(way.target) == before


@pytest.mark.parametrize(("end", "after", "call"), [(0, True, 1), (1, True, 1), (0, False, 2)])
@both_ways
def test_t43_a_move_that_is_killed_between_two_commits_goes_on_nowhere_until_it_is_finished(
    way: Way, end: int, after: bool, call: int
) -> None:
    at(way.source, story)
    before = held(way.source)

    def killed() -> None:
        killing("commit", kinds(way)[end], after=after, call=call)
        way.move()

    assert in_a_process(killed) == -signal.SIGKILL
    opens_nowhere(way.source, f"mcp-hitl migrate '{way.source}' '{way.target}'")
    with pytest.raises(Unavailable, match="Finish the move"):
        move(way.source, Location(str(way.folder / "another.db")), check)
    assert is_empty(way.target) == (end == 0 and call == 1)
    way.move()
    opens_nowhere(way.source, "Name that instead")
    assert held(way.target) == before
    at(way.target, goes_on)


def test_a_full_disk_leaves_nothing_at_the_target_and_everything_at_the_source(tmp_path: Path) -> None:
    way = Way(tmp_path, BOTH[1])
    at(way.source, story)

    def filled() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        way.move()

    assert in_a_process(filled) == 2
    assert os.listdir(tmp_path) == []
    at(way.source, goes_on)
    way.move()
    at(way.target, goes_on)


@pytest.mark.parametrize("at_call", [1, 2])
@both_ways
def test_a_connection_that_is_cut_in_the_middle_moves_nothing(way: Way, at_call: int) -> None:
    at(way.source, story)
    url = (way.source if way.source.file is None else way.target).written
    calls = 0

    def cut(view: View) -> None:
        nonlocal calls
        calls += 1
        if calls == at_call:
            postgres.run(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
        check(view)

    with pytest.raises(Unavailable, match="Nothing was moved"):
        way.move(cut)
    assert is_empty(way.target)
    at(way.source, goes_on)
    way.move()
    at(way.target, goes_on)


@pytest.mark.parametrize("cut", ["before", "after"])
def test_t43_a_move_whose_last_answer_was_lost_is_finished_by_the_same_command(way: Way, cut: str) -> None:
    at(way.source, story)
    before = held(way.source)
    line = Line(postgres.server().folder)
    there = Location(re.sub(r"host=.*", f"host={line.folder}", way.target.written))
    line.cut = cut
    with pytest.raises(Uncertain, match="Run the same command again"):
        move(way.source, there, check)
    assert is_empty(way.target) == (cut == "before")
    opens_nowhere(way.source, "goes on nowhere yet")
    move(way.source, there, check)
    line.close()
    assert held(way.target) == before


def test_a_large_table_is_read_in_parts(tmp_path: Path) -> None:
    for way in (Way(tmp_path, way) for way in BOTH):
        at(way.source, partial(many, number=3 * TOGETHER))
        end = end_of(way.source)
        with closing(end):
            end.begin()
            assert [len(page) for page in end.rows("audit", ["seq"])] == [TOGETHER] * 3
        way.move()


async def many(desk: Desk, number: int) -> None:
    """So many entries."""

    def work(tx: Transaction) -> None:
        now = begin(tx, START)
        for _ in range(number // 2):
            pause(tx, ANA, None, now)
            resume(tx, ANA, None, now)

    await desk.store.write(work)
