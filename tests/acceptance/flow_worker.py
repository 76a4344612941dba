"""A process that carries one flow on until it has ended, or until it kills itself at a write that it was told."""

import os
import signal
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio
from samples import START

from mcp_hitl import Approval, Assurance, Established, Flow, Kind, NotApproved, Principal, Status, Step, Verdict
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.ids import flow_id
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import runner_of
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

T = TypeVar("T")

Side = Literal["before", "after"]

AGENT = Principal("os:agent", Established.OS_USER)
PERSON = Principal("os:ana", Established.OS_USER)
SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
ORDER = Kind(name="order", title="Order {order}", schema=dict(SCHEMA), flow="acceptance.flow_worker:OrderFlow")
SHIPMENT = Kind(name="shipment", title="Ship {order}", schema=dict(SCHEMA))
ENDED = {FlowState.DONE, FlowState.FAILED, FlowState.UNKNOWN}


class OrderFlow(Flow[dict[str, Any], str]):
    """Every kind of step, with two waits for people. What it does outside the database, it notes in a file."""

    kind = ORDER.name
    notes: Path

    async def run(self, value: dict[str, Any], step: Step) -> str:
        """Price, ask, book, pay, rest, ask again, ship."""
        price = await step.do("price", self.price)
        await step.report("priced", f"It costs {price}")
        order = await self.approved(step, "order", value | {"price": price}, None)
        await step.write("book", book, order.payload)
        await step.do("pay", self.pay, order.payload["price"], at_most_once=True)
        await step.report("paid", "It is paid for")
        await step.sleep("rest", timedelta(milliseconds=1))
        shipment = await self.approved(step, "shipment", value, SHIPMENT.name)
        await step.do("ship", self.ship, shipment.payload["order"])
        await step.report("shipped", "It is on its way")
        return "delivered"

    async def approved(self, step: Step, name: str, payload: dict[str, Any], kind: str | None) -> Approval:
        """Wait for people."""
        approval = await step.wait_for_approval(name, payload=payload, kind=kind)
        if approval.status is not Status.APPROVED:
            raise NotApproved(approval)
        return approval

    def price(self, idempotency_key: str) -> int:
        """At least once."""
        return note(self.notes, f"price {idempotency_key}", 12)

    async def pay(self, amount: int, idempotency_key: str) -> int:
        """At most once."""
        return note(self.notes, f"pay {idempotency_key}", amount)

    def ship(self, order: int, idempotency_key: str) -> None:
        """At least once."""
        note(self.notes, f"ship {idempotency_key}", order)


def book(tx: Transaction, payload: dict[str, Any]) -> None:
    """Exactly once."""
    tx.execute("INSERT INTO booked VALUES (?)", (payload["price"],))


def note(notes: Path, what: str, result: T) -> T:
    """Do something that no transaction takes back."""
    with notes.open("a") as file:
        file.write(what + "\n")
    return result


class Mortal:
    """A store that kills its process before or after its `n`-th write; wrapped around the real one."""

    def __init__(self, store: Store, n: int | None, side: Side) -> None:
        self._store, self._n, self._side = store, n, side
        self.writes = 0

    async def read(self, work: Callable[[View], T]) -> T:
        return await self._store.read(work)

    async def survey(self, work: Callable[[View], T]) -> T:
        return await self._store.survey(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self.writes += 1
        last = self.writes == self._n
        if last and self._side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await self._store.write(work)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    async def scrub(self) -> bool:
        return await self._store.scrub()

    async def changed(self) -> None:
        await self._store.changed()

    def gone(self) -> str | None:
        return self._store.gone()

    def hold(self, name: str) -> bool:
        return self._store.hold(name)

    def hold_one_of(self, name: str) -> str:
        return self._store.hold_one_of(name)

    def let_go(self, name: str) -> None:
        self._store.let_go(name)

    def is_held(self, name: str) -> bool:
        return self._store.is_held(name)

    def machine(self) -> str | None:
        return self._store.machine()

    def shared_key(self) -> bytes:
        return self._store.shared_key()

    def hurry(self) -> None:
        self._store.hurry()

    async def close(self) -> None:
        await self._store.close()


def carry_on(folder: Path, start: int, n: int | None, side: Side) -> None:
    """Ask (or join what was asked), run the flow, decide whatever waits for a person, until the flow has ended.

    `start` counts the processes on this folder: each one begins a minute later, when the lease of the one before it
    has run out. A process that is not killed writes how often it wrote to `writes`.
    """
    OrderFlow.notes = folder / "notes"
    anyio.run(_carry_on, folder, start, n, side)


async def _carry_on(folder: Path, start: int, n: int | None, side: Side) -> None:
    database = folder / "hitl.db"
    real = SqliteStore(database)
    with closing(sqlite3.connect(database, timeout=30)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS booked (price INTEGER)")
    store = Mortal(real, n, side)
    rulebook = Rulebook(kinds={ORDER.name: ORDER, SHIPMENT.name: SHIPMENT})
    ticks = 0

    def clock() -> datetime:
        nonlocal ticks
        ticks += 1  # a millisecond each time it is asked, so that a sleep is over when it is looked at again
        return START + timedelta(minutes=start, milliseconds=ticks)

    desk = Desk(store, effects=EFFECTS, rulebook=rulebook, clock=clock)
    order = await desk.approvals.submit(AGENT, ORDER.name, {"order": 17}, dedup_key="order 17")
    runner = runner_of(desk, {ORDER.name: OrderFlow})
    flow = flow_id(order.id)
    while await store.read(lambda view: view.flows.state(flow)) not in ENDED:
        await runner.catch_up()
        for approval in (await desk.search.pending(PERSON)).approvals:
            await desk.decisions.decide(PERSON, Shown.of(approval), Verdict.APPROVE, assurance=Assurance.LOCAL)
    (folder / "writes").write_text(str(store.writes))
    await real.close()
