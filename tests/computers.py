"""A computer for tests of the clock: its wall clock can be set, it sleeps, and is switched off."""

from datetime import timedelta

from desk_samples import ANA, RULEBOOK
from samples import START

from mcp_hitl.desk import Desk
from mcp_hitl.desk.doctor_facts import examine
from mcp_hitl.desk.timekeeping import Timekeeper
from mcp_hitl.doctor.findings.state import Found, state_findings
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.store.store import Store


class Computer:
    """A computer whose clock can be set, and whose processes come and go."""

    def __init__(self, store: Store) -> None:
        """Keep the desk's data in `store`."""
        self.store = store
        self.rulebook = RULEBOOK
        self.wall, self.running, self.boot = START, timedelta(days=1), "first"

    def timekeeper(self) -> Timekeeper:
        """The clock as a new process reads it."""
        return Timekeeper(lambda: self.wall, lambda: self.running, self.boot)

    async def process(self) -> Desk:
        """The desk of a process that was started just now."""
        desk = Desk(self.store, effects=EFFECTS, rulebook=self.rulebook, clock=self.timekeeper())
        await desk.check_policy(ANA)
        return desk

    def passes(self, span: timedelta) -> None:
        """Time passes, whether the computer is awake or asleep."""
        self.wall += span
        self.running += span

    def is_off(self, span: timedelta) -> None:
        """It is switched off for so long, and started again."""
        self.wall += span
        self.running, self.boot = timedelta(hours=1), f"{self.boot}-again"

    async def found(self) -> set[str]:
        """What doctor says about the clock."""
        seen = await self.store.read(lambda view: examine(view, self.timekeeper()))
        codes = {one.code for one in state_findings(Found(seen), self.rulebook)}
        return {code for code in codes if code.startswith("clock")}
