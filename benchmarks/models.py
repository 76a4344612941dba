"""Approvals of every sort, made by a real desk, and copies of them at other times: a large history in minutes.

A copy has an id and times of its own. Its entries of the log get places and hashes of their own, so a log of copies
verifies.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import anyio

from benchmarks.figures import ANA, UNLIMITED, database
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, OutcomeState
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.evidence.chain import Recorded, body
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import rfc8785_form
from mcp_hitl.domain.values.ids import flow_id
from mcp_hitl.domain.values.instants import from_ms, rfc3339, to_ms
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import serve
from mcp_hitl.store import rows
from mcp_hitl.store.sqlite import SqliteStore

Row = tuple[Any, ...]

LASTING = Rulebook(kinds={name: replace(kind, timeout=timedelta(days=3_650)) for name, kind in UNLIMITED.kinds.items()})
"""What is pending stays so, however long a database is kept for the next run."""
TABLES = ("approvals", "decisions", "contents", "edits", "progress", "flows", "journal", "expenses")
EACH = 40
"""Models of each sort, each with a requester of its own."""
_OFTEN = {"used": 9, "approved": 4, "rejected": 2, "edited": 1, "reimbursed": 2, "answered": 1, "cancelled": 1}
"""How many of twenty decided ones are of each sort."""
_TIMES = frozenset(
    {"requested_at", "expires_at", "resolved_at", "cooldown_until", "stage_since", "timed_to", "next_at", "at"}
)
_SEQ = 987_654_321_987


@dataclass(frozen=True, slots=True)
class _Entry:
    event: str
    revision: int
    actor: str
    established: str | None
    assurance: str | None
    at: int
    data: str
    """The text of its data, with places for the times in it."""
    form: str
    """What its hash covers, with places for everything that is a copy's own."""


class Model:
    """One approval as a desk has stored it."""

    def __init__(self, path: Path, approval: Approval, log: list[Recorded]) -> None:
        """Take the rows from the file at `path`."""
        self._id = approval.id
        self._began = to_ms(approval.requested_at)
        self._instants = {
            name: to_ms(at)
            for name, at in (("expires", approval.expires_at), ("cooldown", approval.cooldown_until))
            if at is not None
        }
        self._rows = list(_rows_of(path, approval.id))
        self._entries = [self._entry(recorded) for recorded in log]

    def copy(self, at: int, new_id: str) -> Iterator[tuple[str, Row]]:
        """Return a table and a row for it, again and again: those of a copy that was requested at `at`."""
        later = at - self._began
        for table, values, times, texts in self._rows:
            row = values.copy()
            for place in times:
                row[place] += later
            for place in texts:
                row[place] = row[place].replace(self._id, new_id).replace(flow_id(self._id), flow_id(new_id))
            yield table, tuple(row)

    def entries(self, at: int, new_id: str, seq: int, previous: str) -> list[Row]:
        """Return the copy's entries of the log, behind the one with `seq` and the hash `previous`."""
        later, made = at - self._began, list[Row]()
        own: dict[str, Any] = {name: rfc3339(from_ms(ms + later)) for name, ms in self._instants.items()}
        for one in self._entries:
            seq, moment = seq + 1, one.at + later
            own |= {"id": new_id, "at": rfc3339(from_ms(moment)), "previous": previous, "seq": seq}
            digest = f"sha256:{hashlib.sha256((one.form % own).encode()).hexdigest()}"
            row = (seq, new_id, one.event, one.revision, one.actor, one.established, one.assurance, moment)
            made.append((*row, one.data % own, previous, digest))
            previous = digest
        return made

    def _entry(self, recorded: Recorded) -> _Entry:
        entry = recorded.entry
        data = self._placed(rfc8785_form(entry.data).decode())
        fields = body(_SEQ, entry, "@previous@") | {"approval": "@id@", "at": "@at@"}
        form = self._placed(rfc8785_form(fields).decode())
        for name in ("previous", "id", "at"):
            form = form.replace(f"@{name}@", f"%({name})s")
        return _Entry(
            event=entry.event.value,
            revision=entry.revision,
            actor=entry.actor,
            established=entry.established,
            assurance=entry.assurance and entry.assurance.value,
            at=to_ms(entry.at),
            data=data,
            form=form.replace(str(_SEQ), "%(seq)d"),
        )

    def _placed(self, text: str) -> str:
        text = text.replace("%", "%%")
        for name, ms in self._instants.items():
            text = text.replace(rfc3339(from_ms(ms)), f"%({name})s")
        return text


@cache
def columns() -> dict[str, list[str]]:
    """Return the columns of each table, in the order of a copy's values; those of `audit` are `rows.ENTRY`."""
    with database() as path:
        anyio.run(SqliteStore(path).close)
        with closing(sqlite3.connect(path)) as db:
            audit: list[str] = [*rows.ENTRY.split(", ")]
            return {table: _columns(db, table) for table in TABLES} | {"audit": audit}


@cache
def decided() -> list[Model]:
    """Return models to be copied in turn: after each round there are as many of each sort as there should be."""
    made = anyio.run(_made, tuple(_OFTEN))
    return [made[sort][number] for number in range(EACH) for sort, often in _OFTEN.items() for _ in range(often)]


@cache
def pending() -> list[Model]:
    """Return models of what nobody has decided yet."""
    made = anyio.run(_made, ("asked", "waiting"))
    return [made[sort][number] for number in range(EACH) for sort in ("asked",) * 4 + ("waiting",)]


async def _made(sorts: tuple[str, ...]) -> dict[str, list[Model]]:
    with database() as path:
        store = SqliteStore(path)
        made: dict[str, list[Approval]] = {}
        async with serve(Desk(store, effects=EFFECTS, rulebook=LASTING)) as desk:
            for sort in sorts:
                made[sort] = [await _one(desk, sort, number) for number in range(EACH)]
        models = {
            sort: [Model(path, one, await store.read(lambda view, id=one.id: view.log.entries(id))) for one in ones]
            for sort, ones in made.items()
        }
        await store.close()
        return models


async def _one(desk: Desk, sort: str, number: int) -> Approval:
    who = Principal(f"os:agent-{number}", Established.OS_USER)
    if sort in {"reimbursed", "waiting"}:
        expense = {"amount": 10 + number, "currency": "USD", "description": f"Train to client {number}"}
        asked = await desk.approvals.submit(who, "expense", expense)
        asked = await desk.approvals.wait(who, asked.id, seconds=60, until=lambda one: bool(one.progress))
        if sort == "reimbursed":
            await _say(desk, asked)
            settled = OutcomeState.SUCCEEDED
            await desk.approvals.wait(who, asked.id, seconds=60, until=lambda one: one.outcome.state is settled)
    elif sort == "answered":
        asked = await desk.approvals.submit(who, "question", {"question": f"Which region for cluster {number}?"})
        await _say(desk, asked, answer={"answer": "eu-central"})
    else:
        action = {"command": "deploy", "service": f"service-{number}", "version": f"1.{number}.{len(sort)}"}
        asked = await desk.approvals.submit(who, "action", action, claim=f"Deploy service {number} ({sort})")
        await _end(desk, who, asked, sort)
    return await desk.store.read(lambda view: view.approvals.get(asked.id) or asked)


async def _end(desk: Desk, who: Principal, asked: Approval, sort: str) -> None:
    if sort == "cancelled":
        await desk.approvals.cancel(who, asked.id, "Not needed any more")
    elif sort == "rejected":
        await _say(desk, asked, Verdict.REJECT, comment="Not before the freeze is over")
    elif sort != "asked":
        if sort == "edited":
            payload: dict[str, Any] = asked.payload | {"version": "2.0"}
            asked = await desk.approvals.edit(ANA, Shown.of(asked), payload, assurance=Assurance.LOCAL, comment="Newer")
        await _say(desk, asked, comment="Go" if sort == "edited" else None)
        if sort == "used":
            await desk.approvals.redeem(who, asked.id, asked.digest)
            await desk.approvals.report(who, asked.id, succeeded=True, note="Deployed")


async def _say(desk: Desk, asked: Approval, verdict: Verdict = Verdict.APPROVE, **more: Any) -> None:
    looked = timedelta(seconds=4)
    await desk.decisions.decide(ANA, Shown.of(asked), verdict, assurance=Assurance.LOCAL, looked=looked, **more)


def _rows_of(path: Path, approval: str) -> Iterator[tuple[str, list[Any], list[int], list[int]]]:
    """Return each table and row of an approval, with the places of its times, and of its texts that name the id."""
    ids = (approval, flow_id(approval))
    with closing(sqlite3.connect(path)) as db:
        for table in TABLES:
            names = _columns(db, table)
            key = {"approvals": "id", "journal": "flow"}.get(table, "approval")
            where = f"SELECT {', '.join(names)} FROM {table} WHERE {key} = ?"
            for row in db.execute(where, (ids[table == "journal"],)):
                times = [at for at, name in enumerate(names) if name in _TIMES and row[at] is not None]
                texts = [
                    at for at, value in enumerate(row) if isinstance(value, str) and any(one in value for one in ids)
                ]
                yield table, list(row), times, texts


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
