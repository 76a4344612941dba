"""A process that carries on a flow whose branches are answered in some order, or kills itself at a write."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
from acceptance.flow_worker import AGENT, ENDED, PERSON, Mortal, Side, note
from samples import START

from mcp_hitl import Assurance, Flow, Kind, Step, Verdict
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.ids import flow_id
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import runner_of
from mcp_hitl.store.sqlite import SqliteStore

RACE = Kind(name="race", title="Race", schema={"type": "object"}, flow="acceptance.race_worker:RaceFlow")


class RaceFlow(Flow[dict[str, Any], str]):
    """Asks three people, tells who were the first two, and rests."""

    kind = RACE.name
    notes: Path

    async def run(self, value: dict[str, Any], step: Step) -> str:
        """Ask, cancel who is late, tell, and rest so long that who is late could be approved."""
        order: list[str] = []
        async with anyio.create_task_group() as tasks:

            async def one(name: str) -> None:
                await step.wait_for_approval("people", payload={"for": name})
                order.append(name)
                if len(order) == 2:
                    tasks.cancel_scope.cancel()

            for name in "abc":
                tasks.start_soon(one, name)
        await step.do("tell", self.tell, "".join(order))
        await step.sleep("rest", timedelta(milliseconds=100))
        return "".join(order)

    def tell(self, who: str) -> None:
        """At least once, and always the same."""
        note(self.notes, who, None)


def race_on(folder: Path, start: int, n: int | None, side: Side) -> None:
    """Ask, run the flow, approve the newest that waits, until the flow has ended; see `carry_on`."""
    RaceFlow.notes = folder / "notes"
    anyio.run(_race_on, folder, start, n, side)


async def _race_on(folder: Path, start: int, n: int | None, side: Side) -> None:
    real = SqliteStore(folder / "hitl.db")
    store, ticks = Mortal(real, n, side), 0

    def clock() -> datetime:
        nonlocal ticks
        ticks += 1
        return START + timedelta(minutes=start, milliseconds=ticks)

    desk = Desk(store, effects=EFFECTS, rulebook=Rulebook(kinds={RACE.name: RACE}), clock=clock)
    asked = await desk.approvals.submit(AGENT, RACE.name, {"for": "a"}, dedup_key="race")
    runner = runner_of(desk, {RACE.name: RaceFlow})
    while await store.read(lambda view: view.flows.state(flow_id(asked.id))) not in ENDED:
        await runner.catch_up()
        # One by one, newest first; it is looked at again before the last.
        for approval in list((await desk.search.pending(PERSON)).approvals)[-1:]:
            await desk.decisions.decide(PERSON, Shown.of(approval), Verdict.APPROVE, assurance=Assurance.LOCAL)
    (folder / "writes").write_text(str(store.writes))
    await real.close()
