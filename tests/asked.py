"""Approvals that an agent has asked for on a database file, made through a desk in this process."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio

from mcp_hitl.desk import Desk
from mcp_hitl.desk.feed import ANY
from mcp_hitl.desk.timekeeping import system_clock
from mcp_hitl.desk.transactions.log_entries import begin, record
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.evidence.events import AskedAgain
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.sqlite import SqliteStore
from mcp_hitl.store.transaction import Transaction

PATIENCE = 60.0
"""Longer than a process takes to ask, on a busy machine."""
AGENT = Principal("os:agent", Established.OS_USER)


def lunch(**changes: Any) -> dict[str, Any]:
    """The payload of an expense."""
    return {"amount": 50, "currency": "USD", "description": "Lunch"} | changes


def ask(
    database: Path,
    kind: str = "expense",
    payload: dict[str, Any] | None = None,
    *,
    claim: str | None = None,
    requester: Principal = AGENT,
) -> str:
    """Ask for one approval; returns its id."""
    [approval] = ask_all(database, [(kind, lunch() if payload is None else payload)], claim=claim, requester=requester)
    return approval.id


def ask_all(
    database: Path,
    requests: Sequence[tuple[str, dict[str, Any]]],
    *,
    claim: str | None = None,
    requester: Principal = AGENT,
) -> list[Approval]:
    """Ask for several, in order."""

    async def submit(desk: Desk) -> list[Approval]:
        return [await desk.approvals.submit(requester, kind, payload, claim=claim) for kind, payload in requests]

    return on_desk(database, submit)


def ask_form(database: Path, form: dict[str, Any], question: str = "Where to?") -> str:
    """Ask a question with a form; returns its id."""
    return ask(database, "question", {"question": question, "form": form})


def look(database: Path, approval_id: str) -> Approval:
    """The approval as it is stored."""

    async def get(desk: Desk) -> Approval:
        return await desk.approvals.get(AGENT, approval_id)

    return on_desk(database, get)


def wait_until_asked(database: Path, title: str = "") -> str:
    """The id of a pending approval with this in its title, once another process has asked for it."""

    async def wait(desk: Desk) -> str:
        news = anyio.Event()

        def note(_: str) -> None:
            news.set()

        with anyio.fail_after(PATIENCE):
            async with desk.open(), desk.feed.listen(ANY, note):
                while True:
                    for approval in (await desk.search.pending(AGENT)).approvals:
                        if title in approval.title:
                            return approval.id
                    await news.wait()
                    news = anyio.Event()

    return on_desk(database, wait)


def on_desk(database: Path, work: Any, *, clock: Callable[[], datetime] = system_clock) -> Any:
    """Run `work` with a desk on the file."""

    async def main() -> Any:
        store = SqliteStore(database)
        try:
            return await work(Desk(store, effects=EFFECTS, clock=clock))
        finally:
            await store.close()

    return anyio.run(main)


async def ask_again(database: Path, approval: Approval, requester: Principal, times: int) -> None:
    """Write what a requester leaves who asks for the same again, so often that no test waits for it."""
    store = SqliteStore(database)

    def work(tx: Transaction) -> None:
        now = begin(tx, system_clock())
        for _ in range(times):
            tx.approvals.count_ask(approval.id)
            record(tx, approval, AskedAgain(), now, requester)

    await store.write(work)
    await store.close()
