"""A place where one flow runs: a database, a clock that the test sets, and processes that come and go."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
from desk_samples import AGENT, ANA, Clock, WatchedStore, said, say

from mcp_hitl import Flow, Step
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, Outcome, OutcomeState, Status
from mcp_hitl.domain.approvals.flow import LEASE, FlowState
from mcp_hitl.domain.policy.kinds import BUILT_IN, Kind, Limits
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.ids import flow_id
from mcp_hitl.domain.values.instants import to_ms
from mcp_hitl.engine.runner import Runner
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import runner_of
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

Run = Callable[[Any, Step], Awaitable[object]]

WORK = Kind(
    name="work",
    title="Work",
    schema={"type": "object"},
    flow="given:ByTheTest",
    joins_equal=False,
    limits=Limits(per_minute=None),
)
OTHER = Kind(name="other", title="Other", schema={"type": "object", "required": ["what"]})
KINDS: Mapping[str, Kind] = {**BUILT_IN, WORK.name: WORK, OTHER.name: OTHER}

PATIENCE = 30.0
"""Seconds until what hangs fails its test."""


def flow_of(run: Run) -> type[Flow[Any, Any]]:
    """The flow of the kind `work` that does what `run` does."""
    the_run = run

    class Work(Flow[Any, Any]):
        kind = WORK.name

        async def run(self, value: Any, step: Step) -> Any:
            return await the_run(value, step)

    return Work


class Rig:
    """What a test of a flow works with."""

    def __init__(self, store: Store) -> None:
        """Work on a new database, which is open as `store`."""
        self.store = WatchedStore(store)
        self.clock = Clock()
        self.rulebook = Rulebook(kinds=KINDS)

    @property
    def desk(self) -> Desk:
        """The desk of a process that was started just now."""
        return Desk(self.store, effects=EFFECTS, rulebook=self.rulebook, clock=self.clock)

    def with_kind(self, **changes: Any) -> None:
        """Configure the kind `work` otherwise."""
        self.rulebook = replace(self.rulebook, kinds={**KINDS, WORK.name: replace(WORK, **changes)})

    def runner(self, run: Run) -> Runner:
        """The runner of a process that was started just now, whose code is `run`."""
        return runner_of(self.desk, {WORK.name: flow_of(run)})

    async def submit(self, payload: JsonObject | None = None) -> str:
        """Ask for work; the approval's id."""
        return (await self.desk.approvals.submit(AGENT, WORK.name, payload or {})).id

    async def go(self, run: Run) -> int:
        """A process starts with `run` as its code, runs what is runnable, and ends; how many runs that were."""
        with anyio.fail_after(PATIENCE):
            return await self.runner(run).catch_up()

    async def die_in(self, run: Run, reached: anyio.Event) -> None:
        """A process starts with `run` as its code, and is gone the moment that it has set `reached`."""
        runner = self.runner(run)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.catch_up)
            with anyio.fail_after(20):
                await reached.wait()
            tasks.cancel_scope.cancel()
        self.clock.advance(LEASE)

    def lose_locks(self) -> None:
        """Take its locks away from every process, as if it had died; its lease runs out."""
        self.store.let_go("flows-1")
        self.clock.advance(LEASE)

    async def look(self, approval_id: str) -> Approval:
        """The approval as it is stored."""
        return await self.desk.approvals.get(AGENT, approval_id)

    async def outcome(self, approval_id: str) -> Outcome:
        """How it went."""
        return (await self.look(approval_id)).outcome

    async def ended_as(self, approval_id: str) -> OutcomeState:
        """How it went, in a word."""
        return (await self.outcome(approval_id)).state

    async def pending(self) -> Sequence[Approval]:
        """What waits for people, oldest first."""
        return (await self.desk.search.pending(AGENT)).approvals

    async def approve(self, approval_id: str | None = None) -> Approval:
        """Ana approves this one, or the only one that is pending."""
        return await self._decide(approval_id, Verdict.APPROVE)

    async def reject(self, approval_id: str | None = None) -> Approval:
        """Ana rejects this one, or the only one that is pending."""
        return await self._decide(approval_id, Verdict.REJECT)

    async def _decide(self, approval_id: str | None, verdict: Verdict) -> Approval:
        if approval_id is None:
            [approval] = await self.pending()
        else:
            approval = await self.look(approval_id)
        comment = "Not this." if verdict is Verdict.REJECT else None
        return await say(self.desk, said(ANA, approval, verdict, comment=comment))

    async def state(self, approval_id: str) -> FlowState | None:
        """Where the flow that an approval started stands."""
        return await self.store.read(lambda view: view.flows.state(flow_id(approval_id)))

    async def rows(self, statement: str) -> list[tuple[object, ...]]:
        """What is in the database."""
        return await self.store.write(lambda tx: tx.execute(statement))

    async def verify(self) -> None:
        """The chain and everything that is stored must hold."""
        assert (await self.desk.evidence.verify()).wrong is None

    @property
    def now_ms(self) -> int:
        """The time in milliseconds."""
        return to_ms(self.clock())


def count_actions(calls: list[str]) -> Callable[[str], str]:
    """An action that notes each of its runs in `calls`."""

    def act(what: str) -> str:
        calls.append(what)
        return what

    return act


def writes(calls: list[str], what: str = "acted") -> Callable[[Transaction], None]:
    """An action inside a transaction that notes each of its runs in `calls`."""

    def act(tx: Transaction) -> None:
        calls.append(what)

    return act


async def approved(step: Step, payload: JsonObject | None = None, name: str = "people") -> Approval:
    """Wait for people, who are expected to approve."""
    approval = await step.wait_for_approval(name, payload=payload or {})
    assert approval.status is Status.APPROVED
    return approval
