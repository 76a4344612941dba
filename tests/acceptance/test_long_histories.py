"""Beside a long history: what is read, held in memory and asked of the database does not grow with it."""

import threading
import tracemalloc
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import postgres
import pytest
from desk_samples import AGENT, ANA

from benchmarks import models
from benchmarks.histories import on_postgres, on_sqlite
from benchmarks.models import LASTING
from mcp_hitl.desk import Desk, exports
from mcp_hitl.desk import verifying as checking
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.postgres import PostgresStore
from mcp_hitl.store.postgres.database import PostgresDatabase
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.sqlite.database import SqliteDatabase
from mcp_hitl.store.store import Store

pytestmark = pytest.mark.anyio
SHORT, LONG, PENDING = 60, 240, 30
GROWTH = 500 * (LONG - SHORT)
"""Bytes; what the log says of an approval takes thousands."""
Opened = Callable[[int], Desk]


def _on_sqlite(folder: Path, size: int) -> Callable[[], Store]:
    on_sqlite(folder / "hitl.db", size, PENDING)
    return lambda: SqliteStore(folder / "hitl.db")


def _on_postgres(folder: Path, size: int) -> Callable[[], Store]:
    url = postgres.database_of(folder)
    on_postgres(url, size, PENDING)
    return lambda: PostgresStore(url)


@pytest.fixture(scope="module", params=[_on_sqlite, _on_postgres], ids=["sqlite", "postgres"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Callable[[], Store]]:
    """What opens the database with so many decided approvals, which the tests of this module share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "EACH", 2)
        return {size: request.param(tmp_path_factory.mktemp(f"{size}"), size) for size in (SHORT, LONG)}


@pytest.fixture
async def opened(made: dict[int, Callable[[], Store]]) -> AsyncGenerator[Opened]:
    """A desk on the database with so many decided approvals."""
    stores: list[Store] = []

    def open_desk(size: int) -> Desk:
        stores.append(made[size]())
        return Desk(stores[-1], effects=EFFECTS, rulebook=LASTING)

    yield open_desk
    for store in stores:
        await store.close()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is read together, so that even a short history is many times as long."""
    monkeypatch.setattr(checking, "ENTRIES", 20)
    monkeypatch.setattr(checking, "APPROVALS", 10)
    monkeypatch.setattr("mcp_hitl.desk.evidence._EXPORTED_TOGETHER", 10)


async def peak(work: Callable[[], Any]) -> int:
    """Return the most bytes of Python's objects that were held at a time."""
    tracemalloc.start()
    try:
        await work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_a_long_history_is_made_in_which_everything_agrees(opened: Opened) -> None:
    found = await opened(SHORT).evidence.verify()
    assert found.wrong is None and found.entries > 3 * SHORT


@pytest.mark.usefixtures("small_pages")
async def test_a_log_of_any_length_is_verified_in_the_same_memory(opened: Opened) -> None:
    await opened(SHORT).evidence.verify()  # whatever is remembered once is
    short, long = [await peak(opened(size).evidence.verify) for size in (SHORT, LONG)]
    assert long - short < GROWTH


@pytest.mark.usefixtures("small_pages")
async def test_a_log_of_any_length_is_exported_and_its_export_verified_in_the_same_memory(
    opened: Opened, tmp_path: Path
) -> None:
    def export(desk: Desk, path: Path) -> Callable[[], Any]:
        async def work() -> None:
            with path.open("w") as file:
                await desk.evidence.export(lambda line: file.write(f"{line}\n"))

        return work

    def verify(path: Path) -> Callable[[], Any]:
        async def work() -> None:
            with path.open() as lines:
                assert exports.verify_export(lines).wrong is None

        return work

    paths = {size: tmp_path / f"{size}.jsonl" for size in (SHORT, LONG)}
    await export(opened(SHORT), tmp_path / "first.jsonl")()
    short, long = [await peak(export(opened(size), path)) for size, path in paths.items()]
    assert long - short < GROWTH
    short, long = [await peak(verify(path)) for path in paths.values()]
    assert long - short < GROWTH


@pytest.mark.usefixtures("small_pages")
async def test_a_check_delays_no_writer_and_sees_nothing_of_what_is_written_meanwhile(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = opened(SHORT)
    before = await desk.evidence.verify()
    begun, go = threading.Event(), threading.Event()

    def held(self: Any, told: dict[str, Any], after: str, last: str | None) -> None:
        begun.set()
        assert go.wait(30)
        compare(self, told, after, last)

    compare = checking._Comparison._compare  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(checking._Comparison, "_compare", held)  # pyright: ignore[reportPrivateUsage]
    found: list[checking.Finding] = []

    async def verify() -> None:
        found.append(await desk.evidence.verify())

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(verify)
            assert await anyio.to_thread.run_sync(begun.wait, 30)
            asked = await desk.approvals.submit(AGENT, "action", {"while": "checked"})
            await desk.decisions.decide(ANA, Shown.of(asked), Verdict.APPROVE, assurance=Assurance.LOCAL)
            assert (await desk.evidence.head())[0] == before.entries + 3
            go.set()
    assert found == [before]
    assert (await desk.evidence.verify()).entries == before.entries + 3


PAGES: dict[str, Callable[[Desk, int], Any]] = {
    "what is pending": lambda desk, limit: desk.search.pending(ANA, limit=limit),
    "a search in it": lambda desk, limit: desk.search.pending(ANA, requester="os:agent-1", limit=limit),
    "the history": lambda desk, limit: desk.search.history(ANA, limit=limit),
    "a search in the history": lambda desk, limit: desk.search.history(ANA, status=Status.APPROVED, limit=limit),
    "the news": lambda desk, limit: desk.search.news(ANA, 0, 1_000_000),
}


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_takes_as_many_statements_however_much_is_on_it_and_behind_it(
    opened: Opened, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    for database in (SqliteDatabase, PostgresDatabase):

        def noted(self: Any, sql: str, values: Any = (), /, execute: Any = database.execute) -> Any:
            statements.append(sql)
            return execute(self, sql, values)

        monkeypatch.setattr(database, "execute", noted)

    async def number(size: int, limit: int) -> int:
        desk = opened(size)
        await PAGES[page](desk, limit)
        statements.clear()
        await PAGES[page](desk, limit)
        return sum(sql.startswith("SELECT") for sql in statements)

    few, many = [[await number(size, limit) for size in (SHORT, LONG)] for limit in (2, 20)]
    assert few == few[:1] * 2 and many == many[:1] * 2
    assert many[0] <= few[0] + 1 <= 8  # one more for whatever was edited
