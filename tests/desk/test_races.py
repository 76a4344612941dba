"""Everything that can end or change an approval, at the same moment in several stores: one of them does."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from desk_samples import Clock, hour, said, say
from team_samples import AGENT, FINANCE, a_rulebook, edited, person

from mcp_hitl.config.location import Location
from mcp_hitl.desk import Desk
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.policy.policy import Policy, Verdict
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.flows.built_in import EFFECTS
from mcp_hitl.process.workers import timers_of
from mcp_hitl.store.opening import open_store

pytestmark = [pytest.mark.anyio, pytest.mark.on_both]
ROUNDS = 200
BOOK = a_rulebook(Policy(stages=(FINANCE,)), timeout=timedelta(hours=1))
BO, ANA, EVE = person("bo"), person("ana"), person("eve")
ENDS = {"approved", "rejected", "cancelled", "expired"}


async def desks(stack: AsyncExitStack, database: Location, clock: Clock, count: int) -> list[Desk]:
    """So many desks, each with a store of its own; the last one's clock is an hour ahead."""
    made: list[Desk] = []
    for number in range(count):
        store = open_store(database)
        stack.push_async_callback(store.close)
        ahead = hour() if number == count - 1 else timedelta()
        made.append(Desk(store, effects=EFFECTS, rulebook=BOOK, clock=lambda ahead=ahead: clock() + ahead))
    return made


async def test_t11_of_all_that_happens_at_once_one_thing_ends_it(database: Location, clock: Clock) -> None:
    async with AsyncExitStack() as stack:
        first, second, third, fourth, late = await desks(stack, database, clock, 5)
        ended: list[str] = []
        for number in range(ROUNDS):
            clock.advance(hour(2))
            asked = await first.approvals.submit(AGENT, "thing", {"n": number})
            told: dict[str, str] = {}

            async def attempt(name: str, work: Callable[[], Awaitable[Approval]], into: dict[str, str] = told) -> None:
                try:
                    into[name] = (await work()).status.value
                except HitlError as error:
                    into[name] = error.code

            async def expire(into: dict[str, str] = told) -> None:
                into["time"] = "expired" if await timers_of(late).catch_up() else "nothing"

            acts: list[tuple[str, Callable[[], Awaitable[Approval]]]] = [
                ("yes", lambda one=asked: say(first, said(BO, one))),
                ("no", lambda one=asked: say(second, said(ANA, one, Verdict.REJECT))),
                ("edit", lambda one=asked: edited(third, EVE, one, {"n": -1})),
                ("cancel", lambda one=asked: fourth.approvals.cancel(AGENT, one.id)),
            ]
            async with anyio.create_task_group() as tasks:
                order = [*acts[number % 4 :], *acts[: number % 4]]
                for place, (name, work) in enumerate(order):
                    if place == number % 5:
                        tasks.start_soon(expire)
                    tasks.start_soon(attempt, name, work)
                if number % 5 == 4:
                    tasks.start_soon(expire)

            now = await first.approvals.get(AGENT, asked.id)
            assert now.status is not Status.PENDING
            winners = [name for name, status in told.items() if status in ENDS]
            assert len(winners) == 1 and told[winners[0]] == now.status.value, told
            assert told["edit"] == "pending" if now.revision == 2 else told["edit"] in {"already_resolved", "conflict"}
            losers = {told[name] for name in ("yes", "no", "cancel") if name not in winners}
            assert losers <= {"already_resolved", "conflict"}
            events = [recorded.entry.event.value for recorded in (await first.approvals.trail(AGENT, asked.id)).entries]
            assert len([event for event in events if event in ENDS]) == 1
            ended.append(now.status.value)
        finding = await first.evidence.verify()
        assert finding.wrong is None
    assert len(set(ended)) >= 3  # or the races were not fair


async def test_t20_one_approver_at_once_in_many_stores_counts_once(database: Location, clock: Clock) -> None:
    pair = a_rulebook(Policy(stages=(replace(FINANCE, quorum=2),)))
    async with AsyncExitStack() as stack:
        made = await desks(stack, database, clock, 5)
        for desk in made:
            desk.rulebook = pair
        for number in range(20):
            asked = await made[0].approvals.submit(AGENT, "thing", {"n": number})
            codes: list[str] = []

            async def decide(desk: Desk, account: str, one: Approval = asked, into: list[str] = codes) -> None:
                try:
                    into.append((await say(desk, said(person(account), one))).status.value)
                except HitlError as error:
                    into.append(error.code)

            async with anyio.create_task_group() as tasks:
                for place, desk in enumerate(made):
                    tasks.start_soon(decide, desk, "ana.b" if place % 2 else "ana")
            assert sorted(codes) == ["conflict"] * 4 + ["pending"]
            assert (await made[0].approvals.get(AGENT, asked.id)).status is Status.PENDING


async def test_the_last_of_three_needed_at_once_ends_it(database: Location, clock: Clock) -> None:
    three = a_rulebook(Policy(stages=(replace(FINANCE, quorum=3),)))
    async with AsyncExitStack() as stack:
        made = await desks(stack, database, clock, 4)
        for desk in made:
            desk.rulebook = three
        for number in range(20):
            asked = await made[0].approvals.submit(AGENT, "thing", {"n": number})
            statuses: list[str] = []

            async def decide(desk: Desk, account: str, one: Approval = asked, into: list[str] = statuses) -> None:
                into.append((await say(desk, said(person(account), one))).status.value)

            async with anyio.create_task_group() as tasks:
                for desk, account in zip(made, ("ana", "bo", "eve"), strict=False):
                    tasks.start_soon(decide, desk, account)
            assert sorted(statuses) == ["approved", "pending", "pending"]
            now = await made[0].approvals.get(AGENT, asked.id)
            assert (now.status, len(now.decisions)) == (Status.APPROVED, 3)
