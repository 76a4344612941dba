"""What `step.do` and `step.write` promise: at least once, at most once, exactly once."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from engine.rig import Rig, Run, approved, count_actions
from pydantic import BaseModel

from mcp_hitl import Failed, Step
from mcp_hitl.domain.approvals.approval import OutcomeState
from mcp_hitl.domain.approvals.flow import FlowState
from mcp_hitl.engine import flow
from mcp_hitl.store.transaction import Transaction

if TYPE_CHECKING:
    from decimal import Decimal as Unimportable

pytestmark = pytest.mark.anyio


class Ticket(BaseModel):
    """A result as a model."""

    number: int
    price: Decimal


@dataclass
class Seat:
    """A result as a dataclass."""

    row: int
    letter: str


def ticket() -> Ticket:
    return Ticket(number=7, price=Decimal("12.50"))


async def seat() -> Seat:
    return Seat(12, "A")


def seats() -> list[Seat]:
    return [Seat(12, "A"), Seat(12, "B")]


def nothing() -> None:
    return None


def perhaps() -> Ticket | None:
    return None


def instant() -> datetime:
    return datetime(2026, 11, 22, tzinfo=UTC)


def pair() -> tuple[int, str]:
    return 1, "two"


def anything():  # type: ignore[no-untyped-def]
    return {"any": ["thing"]}


class Caller:
    """An object that can be called."""

    def __call__(self) -> Seat:
        return Seat(1, "C")


@pytest.mark.parametrize(
    "action",
    [ticket, seat, seats, nothing, perhaps, instant, pair, anything, Caller(), partial(Seat, 3, "D"), partial(seat)],
    ids=lambda action: getattr(action, "__name__", type(action).__name__),
)
@pytest.mark.parametrize("at_most_once", [False, True])
async def test_a_step_returns_the_same_on_its_first_run_and_from_the_journal(
    rig: Rig, action: Callable[[], Any], at_most_once: bool
) -> None:
    returned: list[object] = []

    async def run(value: Any, step: Step) -> None:
        returned.append(await step.do("make", action, at_most_once=at_most_once))
        await approved(step)

    await rig.submit()
    await rig.go(run)
    await rig.approve()
    await rig.go(run)
    first, again = returned
    assert (first, type(first)) == (again, type(again))
    if not isinstance(action, partial) and action is not anything:
        made = action()
        expected = await made if hasattr(made, "__await__") else made
        assert (again, type(again)) == (expected, type(expected))


async def test_what_a_step_writes_returns_the_same_on_its_first_run_and_from_the_journal(rig: Rig) -> None:
    returned: list[Ticket] = []

    def store(tx: Transaction, number: int) -> Ticket:
        return Ticket(number=number, price=Decimal("0.10"))

    async def run(value: Any, step: Step) -> None:
        returned.append(await step.write("store", store, 7))
        await approved(step)

    await rig.submit()
    await rig.go(run)
    await rig.approve()
    await rig.go(run)
    assert returned == [Ticket(number=7, price=Decimal("0.10"))] * 2


async def test_a_finished_step_is_not_run_again(rig: Rig) -> None:
    calls: list[str] = []
    act = count_actions(calls)

    async def run(value: Any, step: Step) -> None:
        await step.do("before", act, "before")
        await step.do("once", act, "once", at_most_once=True)
        await approved(step)
        await step.do("after", act, "after")
        await approved(step, name="more people")

    await rig.submit()
    await rig.go(run)
    await rig.approve()
    await rig.go(run)
    await rig.approve()
    await rig.go(run)
    assert calls == ["before", "once", "after"]


async def test_a_step_that_raises_is_tried_three_times_with_growing_pauses(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    calls: list[str] = []

    def fail() -> None:
        calls.append("fail")
        raise OSError("The network is down.")

    async def run(value: Any, step: Step) -> None:
        await step.do("send", fail)

    approval_id = await rig.submit()
    with monkeypatch.context() as patched:
        patched.setattr(flow.anyio, "sleep", pause)
        await rig.go(run)
    assert (len(calls), pauses) == (3, [0.5, 1.0])
    outcome = await rig.outcome(approval_id)
    assert (outcome.state, outcome.error) == (OutcomeState.FAILED, "OSError: The network is down.")


@pytest.mark.parametrize("failures", [0, 1, 4])
async def test_retries_and_backoff_are_the_steps_to_choose(rig: Rig, failures: int) -> None:
    calls: list[int] = []

    async def fail_at_first() -> int:
        calls.append(len(calls))
        if len(calls) <= failures:
            raise OSError
        return len(calls)

    async def run(value: Any, step: Step) -> int:
        await approved(step)
        return await step.do("send", fail_at_first, retries=4, backoff=0)

    approval_id = await rig.submit()
    await rig.approve(approval_id)
    await rig.go(run)
    assert (await rig.outcome(approval_id)).result == {"value": failures + 1}


@pytest.mark.parametrize("at_most_once", [False, True])
async def test_failed_says_that_nothing_was_done_so_it_is_not_retried_and_not_unknown(
    rig: Rig, at_most_once: bool
) -> None:
    calls: list[str] = []

    def refuse() -> None:
        calls.append("refuse")
        raise Failed("The account is closed.")

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.do("pay", refuse, at_most_once=at_most_once)

    approval_id = await rig.submit()
    await rig.approve(approval_id)
    await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert (outcome.state, outcome.error) == (OutcomeState.FAILED, "Failed: The account is closed.")
    assert (calls, await rig.state(approval_id)) == (["refuse"], FlowState.FAILED)


async def test_the_idempotency_key_is_the_same_in_every_try_and_after_a_restart(rig: Rig) -> None:
    keys: list[str] = []
    reached = anyio.Event()

    async def send(letter: str, *, idempotency_key: str) -> None:
        keys.append(f"{letter} {idempotency_key}")
        if len(keys) == 1:
            raise OSError
        if len(keys) == 2:
            reached.set()
            await anyio.sleep_forever()

    async def run(value: Any, step: Step) -> None:
        await step.do("send a", send, "a", backoff=0)
        await step.do("send b", send, "b", backoff=0)

    first, second = await rig.submit(), await rig.submit()
    await rig.die_in(run, reached)
    await rig.go(run)
    # A request tried twice and, after the restart, a third time; the other flow and the other step have other keys.
    letters = [key.split() for key in keys]
    mine = {key for letter, key in letters if letter == "a"}
    assert len([letter for letter, _ in letters if letter == "a"]) == 4
    assert len(mine) == 2
    assert len({key for _, key in letters}) == 4
    assert keys[0] == keys[1]
    assert [await rig.state(one) for one in (first, second)] == [FlowState.DONE] * 2


async def test_t09_at_least_once_means_again_after_a_crash(rig: Rig) -> None:
    calls: list[str] = []
    reached = anyio.Event()

    async def act() -> str:
        calls.append("act")
        if len(calls) == 1:
            reached.set()
            await anyio.sleep_forever()
        return "done"

    async def run(value: Any, step: Step) -> str:
        await approved(step)
        return await step.do("act", act)

    approval_id = await rig.submit()
    await rig.approve(approval_id)
    await rig.die_in(run, reached)
    await rig.go(run)
    assert (len(calls), (await rig.outcome(approval_id)).result) == (2, {"value": "done"})


async def test_t09_claimed_and_interrupted_is_unknown_and_not_run_again(rig: Rig) -> None:
    calls: list[str] = []
    reached = anyio.Event()

    async def act() -> None:
        calls.append("act")
        reached.set()
        await anyio.sleep_forever()

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.do("pay", act, at_most_once=True)

    approval_id = await rig.submit()
    await rig.approve(approval_id)
    await rig.die_in(run, reached)
    for _ in range(3):
        await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert (outcome.state, outcome.error) == (OutcomeState.UNKNOWN, "step 'pay' was interrupted, and may have acted")
    assert (calls, await rig.state(approval_id)) == (["act"], FlowState.UNKNOWN)


async def test_t09_raised_in_an_at_most_once_step_is_unknown_and_not_retried(rig: Rig) -> None:
    calls: list[str] = []

    def act() -> None:
        calls.append("act")
        raise TimeoutError("no answer")

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.do("pay", act, at_most_once=True)

    approval_id = await rig.submit()
    await rig.approve(approval_id)
    for _ in range(3):
        await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert outcome.state is OutcomeState.UNKNOWN
    assert outcome.error == "step 'pay' raised TimeoutError: no answer, and may have acted"
    assert calls == ["act"]


async def test_t09_what_cannot_be_journaled_after_it_acted_is_unknown(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.do("pay", object, at_most_once=True)

    approval_id = await rig.submit()
    await rig.approve(approval_id)
    await rig.go(run)
    assert await rig.ended_as(approval_id) is OutcomeState.UNKNOWN


async def test_t09_a_result_that_is_not_what_the_action_says_it_returns_is_unknown(rig: Rig) -> None:
    def pay() -> Ticket:
        return "a receipt"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.do("pay", pay, at_most_once=True)

    approval_id = await rig.submit()
    await rig.approve(approval_id)
    await rig.go(run)
    assert await rig.ended_as(approval_id) is OutcomeState.UNKNOWN


@pytest.mark.parametrize("at_most_once", [False, True])
async def test_an_action_whose_annotations_cannot_be_read_fails_before_it_acts(rig: Rig, at_most_once: bool) -> None:
    calls: list[str] = []

    def pay() -> "Unimportable":
        calls.append("pay")
        return Decimal(1)

    async def run(value: Any, step: Step) -> None:
        await approved(step)
        await step.do("pay", pay, at_most_once=at_most_once)

    approval_id = await rig.submit()
    await rig.approve(approval_id)
    await rig.go(run)
    outcome = await rig.outcome(approval_id)
    assert (outcome.state, calls) == (OutcomeState.FAILED, [])
    assert outcome.error is not None and "Unimportable" in outcome.error


async def test_an_action_may_return_an_awaitable(rig: Rig) -> None:
    async def later() -> int:
        return 5

    async def run(value: Any, step: Step) -> int:
        await approved(step)
        return await step.do("later", lambda: later())

    approval_id = await rig.submit()
    await rig.approve(approval_id)
    await rig.go(run)
    assert (await rig.outcome(approval_id)).result == {"value": 5}


def table(tx: Transaction) -> None:
    """A table of the flow's own."""
    tx.execute("CREATE TABLE IF NOT EXISTS sent (what TEXT)")


def send(tx: Transaction, what: str) -> str:
    """An effect inside the database."""
    tx.execute("INSERT INTO sent VALUES (?)", (what,))
    return what


async def test_t09_a_written_effect_and_its_journal_entry_are_there_together_or_not_at_all(rig: Rig) -> None:
    def send_and_fail(tx: Transaction) -> None:
        send(tx, "half")
        raise OSError("The disk went away.")

    async def run(value: Any, step: Step) -> None:
        await step.write("table", table)
        await approved(step)
        await step.write("send", send, "whole")
        await step.write("fail", send_and_fail)

    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve(approval_id)
    await rig.go(run)
    assert await rig.rows("SELECT what FROM sent") == [("whole",)]
    assert await rig.rows("SELECT name FROM journal ORDER BY position") == [("table",), ("people",), ("send",)]
    assert (await rig.outcome(approval_id)).error == "OSError: The disk went away."


async def test_t09_a_written_effect_happens_once_however_often_the_flow_is_run(rig: Rig) -> None:
    async def run(value: Any, step: Step) -> None:
        await step.write("table", table)
        await step.write("send", send, "once")
        for number in range(5):
            await approved(step, name=f"people {number}")

    await rig.submit()
    for _ in range(5):
        await rig.go(run)
        await rig.approve()
    assert await rig.rows("SELECT what FROM sent") == [("once",)]


def misspell(tx: Transaction) -> None:
    tx.execute("INSERT INTO snet VALUES ('half')")


def leave(tx: Transaction) -> None:
    sys.exit(3)


def take_from_nothing(tx: Transaction) -> None:
    next(iter(()))


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (misspell, r"OperationalError: no such table: snet|UndefinedTable: relation \"snet\" does not exist"),
        (leave, r"RuntimeError: The work for the database raised SystemExit: 3\."),
        (take_from_nothing, r"RuntimeError: The work for the database raised StopIteration\."),
    ],
    ids=["a mistake in SQL", "sys.exit", "StopIteration"],
)
async def test_whatever_a_written_action_raises_ends_the_flow_as_failed_and_nobody_hangs(
    rig: Rig, action: Callable[[Transaction], object], told: str
) -> None:
    def send_and_fail(tx: Transaction) -> None:
        send(tx, "half")
        action(tx)

    async def run(value: Any, step: Step) -> None:
        await step.write("table", table)
        await approved(step)
        await step.write("fail", send_and_fail)

    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve(approval_id)
    await rig.go(run)
    assert re.match(told, (await rig.outcome(approval_id)).error or "")
    assert await rig.rows("SELECT count(*) FROM sent") == [(0,)]
    await rig.verify()


async def test_a_written_result_that_cannot_be_read_back_undoes_its_effect(rig: Rig) -> None:
    def send_wrongly(tx: Transaction) -> Ticket:
        send(tx, "half")
        return "a receipt"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    async def run(value: Any, step: Step) -> None:
        await step.write("table", table)
        await step.write("send", send_wrongly)

    approval_id = await rig.submit()
    await rig.go(run)
    assert await rig.ended_as(approval_id) is OutcomeState.FAILED
    assert await rig.rows("SELECT count(*) FROM sent") == [(0,)]


async def test_a_flow_returns_what_it_did_as_its_outcome(rig: Rig) -> None:
    runs: dict[str, tuple[Run, dict[str, Any] | None]] = {
        "model": (_returning(Ticket(number=7, price=Decimal("12.50"))), {"number": 7, "price": "12.50"}),
        "nothing": (_returning(None), None),
        "list": (_returning([1, 2]), {"value": [1, 2]}),
    }
    for run, expected in runs.values():
        approval_id = await rig.submit()
        await rig.approve(approval_id)
        await rig.go(run)
        outcome = await rig.outcome(approval_id)
        assert (outcome.state, outcome.result) == (OutcomeState.SUCCEEDED, expected)


def _returning(result: object) -> Run:
    async def run(value: Any, step: Step) -> object:
        await approved(step)
        return result

    return run


@pytest.mark.parametrize("at_most_once", [False, True])
async def test_what_certainly_failed_may_be_caught_and_fails_alike_in_every_run(rig: Rig, at_most_once: bool) -> None:
    calls: list[str] = []
    told: list[str] = []

    def card() -> None:
        calls.append("card")
        raise Failed("The card was declined.")

    async def run(value: Any, step: Step) -> None:
        try:
            await step.do("by card", card, at_most_once=at_most_once)
        except Failed as failed:
            told.append(str(failed))
        await step.wait_for_approval("by transfer instead", payload=value)
        await step.do("by transfer", count_actions(calls), "transfer", at_most_once=True)

    approval_id = await rig.submit()
    await rig.go(run)
    await rig.approve(approval_id)
    await rig.go(run)
    assert (calls, told) == (["card", "transfer"], ["The card was declined."] * 2)
    assert await rig.ended_as(approval_id) is OutcomeState.SUCCEEDED
