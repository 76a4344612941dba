"""T35: the whole file is checked: its indexes, its triggers, every column that the log knows of."""

import os
import random
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from desk_samples import ANA, Clock, said, say
from team_samples import AGENT, edited

from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.errors import Conflict, HitlError
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

FLIPS = 1_000 if os.environ.get("SOAK") else 25
Opened = Callable[[Path], Desk]


@pytest.fixture
async def file(tmp_path: Path, clock: Clock) -> Path:
    """A database with pending, rejected and edited requests, which nobody has open."""
    path = tmp_path / "sound.db"
    store = SqliteStore(path)
    desk = Desk(store, effects=EFFECTS, clock=clock)
    for number in range(12):
        asked = await desk.approvals.submit(AGENT, "action", {"number": number})
        if number % 3 == 0:
            await say(desk, said(ANA, asked, Verdict.REJECT, comment="No"))
        elif number % 3 == 1:
            await edited(desk, ANA, asked, {"number": number, "more": 1})
    await store.close()
    return path


@pytest.fixture
async def opened(clock: Clock) -> AsyncGenerator[Opened]:
    """Opens a desk on a file."""
    stores: list[SqliteStore] = []

    def open_desk(path: Path) -> Desk:
        stores.append(SqliteStore(path))
        return Desk(stores[-1], effects=EFFECTS, clock=clock)

    yield open_desk
    for store in stores:
        await store.close()


def change(path: Path, script: str) -> None:
    """Run a script on the file past this program."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)


def change_nonce(path: Path, approval_id: str) -> None:
    """Give the decision on an approval another nonce, and leave no other trace."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (trigger,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'decisions_fixed'").fetchone()
        db.execute("DROP TRIGGER decisions_fixed")
        db.execute("UPDATE decisions SET nonce = 'of another' WHERE approval = ?", (approval_id,))
        db.execute(trigger)


def pages_of_indexes(path: Path) -> list[tuple[int, int]]:
    """Where the pages of the indexes begin in the file, and how long a page is."""
    with closing(sqlite3.connect(path)) as db:
        size = db.execute("PRAGMA page_size").fetchone()[0]
        roots = db.execute("SELECT rootpage FROM sqlite_schema WHERE type = 'index'").fetchall()
    return [((root - 1) * size, size) for (root,) in roots]


async def standing(desk: Desk) -> tuple[list[str], list[str], list[Status]]:
    """What the lists show, and what becomes of rejected requests that are made again."""
    pending = [one.id for one in (await desk.search.pending(AGENT, limit=50)).approvals]
    past = [one.id for one in (await desk.search.history(AGENT, limit=50)).approvals]
    again = [(await desk.approvals.submit(AGENT, "action", {"number": number})).status for number in (0, 3, 6, 9)]
    return pending, past, again


async def test_t35_a_bit_that_flips_in_an_index_misleads_nobody_whom_verify_does_not_warn(
    file: Path, tmp_path: Path, opened: Opened
) -> None:
    before = await anyio.Path(file).read_bytes()
    sound = tmp_path / "copy.db"
    await anyio.Path(sound).write_bytes(before)
    expected = await standing(opened(sound))
    assert expected[2] == [Status.REJECTED] * 4
    chance = random.Random(7)
    used = [at for begin, size in pages_of_indexes(file) for at in range(begin, begin + size) if before[at]]
    warned = 0
    for number in range(FLIPS):
        flipped = bytearray(before)
        flipped[chance.choice(used)] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{number}.db"
        await anyio.Path(path).write_bytes(flipped)
        try:
            desk = opened(path)
            if (await desk.evidence.verify()).wrong is None:
                assert await standing(desk) == expected, f"flip {number} was not found and changes what is shown"
            else:
                warned += 1
        except (HitlError, sqlite3.Error):
            warned += 1
    assert warned


async def test_t35_an_index_that_does_not_agree_with_its_table_is_found(file: Path, opened: Opened) -> None:
    change(
        file,
        "PRAGMA writable_schema = ON; "
        "UPDATE sqlite_schema SET sql = replace(sql, 'status = ''pending''', 'status = ''rejected''') "
        "WHERE name = 'approvals_pending'; PRAGMA writable_schema = RESET; REINDEX approvals_pending; "
        "PRAGMA writable_schema = ON; "
        "UPDATE sqlite_schema SET sql = replace(sql, 'status = ''rejected''', 'status = ''pending''') "
        "WHERE name = 'approvals_pending'; PRAGMA writable_schema = OFF;",
    )
    found = await opened(file).evidence.verify()
    assert found.wrong is not None and "approvals_pending" in found.wrong


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("DROP TRIGGER audit_fixed", "audit_fixed"),
        ("DROP TRIGGER approvals_terminal; CREATE TRIGGER approvals_terminal BEFORE UPDATE OF status ON approvals "
         "WHEN OLD.status = 'x' BEGIN SELECT RAISE(ABORT, 'no'); END", "approvals_terminal"),
        ("CREATE TRIGGER helpful AFTER INSERT ON audit BEGIN SELECT 1; END", "helpful"),
        ("CREATE UNIQUE INDEX one_each ON approvals (id, requester)", "one_each"),
        ("DROP INDEX approvals_due", "approvals_due"),
        ("ALTER TABLE approvals ADD COLUMN approved TEXT", "approvals"),
        ("CREATE TABLE notes (x); CREATE TRIGGER later AFTER INSERT ON notes BEGIN DELETE FROM pauses; END", "later"),
        ("DROP TABLE sign_in_links", "sign_in_links"),
    ],
)  # fmt: skip
async def test_t35_a_schema_that_somebody_changed_is_found(file: Path, opened: Opened, script: str, names: str) -> None:
    change(file, script)
    found = await opened(file).evidence.verify()
    assert found.wrong is not None and found.wrong.startswith("the schema") and f"“{names}”" in found.wrong


@pytest.mark.parametrize("script", ["UPDATE open_requests SET bytes = 0", "DELETE FROM open_requests"])
async def test_t37_a_count_that_somebody_lowered_is_found(file: Path, opened: Opened, script: str) -> None:
    change(file, script)
    found = await opened(file).evidence.verify()
    assert found.wrong is not None and "open requests that is kept for the limits is not what is there" in found.wrong


async def test_the_tables_of_a_flow_are_no_fault(file: Path, opened: Opened) -> None:
    change(file, "CREATE TABLE letters (text TEXT); CREATE INDEX by_text ON letters (text); ANALYZE")
    assert (await opened(file).evidence.verify()).wrong is None


async def test_t35_how_an_editor_was_established_is_compared(file: Path, opened: Opened) -> None:
    change(file, "UPDATE edits SET established = 'program'")
    found = await opened(file).evidence.verify()
    assert found.wrong is not None and "the edits of " in found.wrong


async def test_t38_which_form_a_decision_answered_is_compared(file: Path, opened: Opened) -> None:
    desk = opened(file)
    asked = await desk.approvals.submit(AGENT, "action", {"number": 99})
    await say(desk, said(ANA, asked, nonce="of the form"))
    with pytest.raises(Conflict):
        await say(desk, said(ANA, asked, Verdict.REJECT, nonce="of the form", comment="No"))
    assert (await desk.evidence.verify()).wrong is None
    change_nonce(file, asked.id)
    found = await desk.evidence.verify()
    assert found.wrong == f"the decisions on {asked.id} are not those in the log"


async def test_a_log_of_before_has_no_nonces_and_verifies(file: Path, opened: Opened) -> None:
    desk = opened(file)
    asked = await desk.approvals.submit(AGENT, "action", {"number": 99})
    await say(desk, said(ANA, asked))
    change_nonce(file, asked.id)
    assert (await desk.evidence.verify()).wrong is None
