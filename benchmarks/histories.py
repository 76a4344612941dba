"""Databases with a long history, on SQLite and PostgreSQL, that verify; kept for the next run."""

import os
import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import psycopg

from benchmarks.models import TABLES, Model, Row, columns, decided, pending
from mcp_hitl.desk.timekeeping import system_clock
from mcp_hitl.domain.evidence.chain import genesis
from mcp_hitl.domain.values.ids import RANDOM_BITS, approval_id
from mcp_hitl.domain.values.instants import from_ms, to_ms
from mcp_hitl.store.postgres.migrating import prepare
from mcp_hitl.store.sqlite import SqliteStore

SPAN, LATELY = timedelta(days=400), timedelta(hours=1)
"""How long ago the first was decided, and how long ago the first that is pending was asked for."""
TOGETHER = 5_000
_OPEN = "SELECT requester, kind, count(*), sum(size) FROM approvals WHERE status = 'pending' GROUP BY requester, kind"

Batch = dict[str, list[Row]]


def on_sqlite(path: Path, how_many: int, how_many_pending: int) -> None:
    """Make such a database at `path`, unless it is there."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    anyio.run(SqliteStore(draft).close)
    with closing(sqlite3.connect(draft, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        database = db.execute("SELECT value FROM facts WHERE name = 'database'").fetchone()[0]
        held = db.execute(
            "SELECT type, name, sql FROM sqlite_schema WHERE sql LIKE 'CREATE %INDEX%' OR type = 'trigger'"
        )
        late = held.fetchall()
        for sort, name, _ in late:
            db.execute(f"DROP {sort} {name}")
        known = columns()
        for batch in _batches(database, how_many, how_many_pending):
            db.execute("BEGIN")
            for table, rows in batch.items():
                names = known[table]
                db.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", rows)
            db.execute("COMMIT")
        for _, _, statement in late:
            db.execute(statement)
        db.execute(f"INSERT INTO open_requests {_OPEN}")
        db.execute("UPDATE facts SET value = ? WHERE name = 'clock'", (str(to_ms(system_clock())),))
        db.execute("PRAGMA journal_mode = WAL")
    os.replace(draft, path)


def on_postgres(url: str, how_many: int, how_many_pending: int) -> None:
    """Fill an empty database with such a history."""
    prepare(url)
    known = columns()
    with psycopg.connect(url) as db:
        db.execute("SET search_path = mcp_hitl")
        row: Any = db.execute("SELECT value FROM facts WHERE name = 'database'").fetchone()
        late = db.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'mcp_hitl' "
            "AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        ).fetchall()
        for name, _ in late:
            db.execute(f"DROP INDEX {name}".encode())
        _triggers(db, "DISABLE")
        for batch in _batches(row[0], how_many, how_many_pending):
            for table, rows in batch.items():
                with db.cursor().copy(f"COPY {table} ({', '.join(known[table])}) FROM STDIN".encode()) as into:
                    for one in rows:
                        into.write_row(one)
        for _, statement in late:
            db.execute(statement.encode())
        _triggers(db, "ENABLE")
        db.execute(f"INSERT INTO open_requests {_OPEN}".encode())
        db.execute("UPDATE facts SET value = %s WHERE name = 'clock'", (str(to_ms(system_clock())),))
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("VACUUM ANALYZE")


def _triggers(db: psycopg.Connection[Any], how: str) -> None:
    for table in ("approvals", "decisions", "audit"):
        db.execute(f"ALTER TABLE {table} {how} TRIGGER USER".encode())


def _batches(database: str, how_many: int, how_many_pending: int) -> Iterator[Batch]:
    """Return the rows by table, in the order in which tables refer to each other."""
    seq, head = 0, genesis(database)
    lines = _planned(how_many, how_many_pending)
    while some := list(islice(lines, TOGETHER)):
        batch: Batch = {table: [] for table in (*TABLES, "audit")}
        for model, at, new_id in some:
            for table, row in model.copy(at, new_id):
                batch[table].append(row)
            logged = model.entries(at, new_id, seq, head)
            seq, head = logged[-1][0], logged[-1][-1]
            batch["audit"] += logged
        yield batch


def _planned(how_many: int, how_many_pending: int) -> Iterator[tuple[Model, int, str]]:
    """Return for each copy its model, the instant of its request, and its id."""
    now = to_ms(system_clock())
    chance = random.Random(how_many)  # noqa: S311: nobody has to be unable to guess these ids
    parts: Iterable[tuple[list[Model], int, timedelta, timedelta]] = (
        (decided(), how_many, SPAN, LATELY),
        (pending(), how_many_pending, LATELY, timedelta(minutes=1)),
    )
    for models, count, first, last in parts:
        for number in range(count):
            at = now - (to_ms(from_ms(0) + first) * (count - number) + to_ms(from_ms(0) + last) * number) // count
            yield models[number % len(models)], at, approval_id(from_ms(at), chance.getrandbits(RANDOM_BITS))
