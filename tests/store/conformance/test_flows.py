"""What every store promises of flows, leases and journals."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import anyio
import pytest
from samples import START, an_approval

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.approvals.flow import LEASE, FlowState, JournalEntry, Lease, StepState
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio
KINDS: dict[str, str | None] = {"expense": None}
LATER, MUCH_LATER = START + LEASE, START + 2 * LEASE


async def a_flow(
    store: Store, number: int = 1, kind: str = "expense", until: datetime = START, code: str | None = None
) -> Lease:
    """A new flow, held until then."""

    def work(tx: Transaction) -> Lease:
        approval = an_approval(id=approval_id(START, number), kind=kind, flow=f"flw_{number}", code=code)
        tx.approvals.insert(approval)
        return tx.flows.insert(f"flw_{number}", kind, approval.id, until)

    return await store.write(work)


async def runnable(store: Store, now: datetime = START, kinds: Iterable[str] = KINDS, limit: int = 10) -> list[str]:
    return await store.read(lambda view: view.flows.runnable(now, dict.fromkeys(kinds), limit))


async def claimed(store: Store, flow: str = "flw_1", now: datetime = START, until: datetime = LATER) -> Lease | None:
    leases = await store.write(lambda tx: tx.flows.claim([flow], now, until))
    return leases[0] if leases else None


async def journal(store: Store, flow: str = "flw_1") -> object:
    return (await store.read(lambda view: view.flows.journals([flow])))[flow]


async def test_a_new_flow_is_runnable_once_nobody_holds_it(store: Store) -> None:
    lease = await a_flow(store, until=LATER)
    assert lease == Lease("flw_1", "expense", approval_id(START, 1), 1)
    assert await runnable(store) == []
    assert await runnable(store, LATER) == ["flw_1"]
    assert await store.read(lambda view: view.flows.state("flw_1")) is FlowState.RUNNABLE
    assert await store.read(lambda view: view.flows.state("flw_none")) is None
    approval = await store.read(lambda view: view.approvals.get(lease.approval))
    assert approval is not None and approval.flow == "flw_1"


async def test_flows_are_runnable_by_kind_the_longest_waiting_first(store: Store) -> None:
    await a_flow(store, 2, until=START - timedelta(seconds=1))
    await a_flow(store, 1, until=START - timedelta(seconds=2))
    await a_flow(store, 3, kind="other")
    assert await runnable(store) == ["flw_1", "flw_2"]
    assert await runnable(store, limit=1) == ["flw_1"]
    assert await runnable(store, kinds=("expense", "other")) == ["flw_1", "flw_2", "flw_3"]
    assert await runnable(store, kinds=("unknown",)) == []


async def test_who_claims_a_flow_has_it_until_the_lease_is_over(store: Store) -> None:
    await a_flow(store)
    first = await claimed(store)
    assert first == Lease("flw_1", "expense", approval_id(START, 1), 2)
    assert await claimed(store, now=LATER - timedelta(milliseconds=1)) is None
    assert await runnable(store) == []
    second = await claimed(store, now=LATER, until=MUCH_LATER)
    assert second is not None and second.epoch == 3
    assert await claimed(store, "flw_none") is None


async def test_who_lost_a_flow_can_write_nothing_about_it(store: Store) -> None:
    await a_flow(store)
    lost, held = await claimed(store), await claimed(store, now=LATER, until=MUCH_LATER)
    assert lost is not None and held is not None
    entry = JournalEntry(0, "do", "pay", StepState.DONE, "1")
    assert await store.write(lambda tx: tx.flows.renew(lost, MUCH_LATER)) is False
    assert await store.write(lambda tx: tx.flows.write_journal(lost, [entry])) is False
    assert await store.write(lambda tx: tx.flows.leave(lost, FlowState.DONE)) is False
    assert (await journal(store), await store.read(lambda view: view.flows.state("flw_1"))) == (
        [],
        FlowState.RUNNABLE,
    )
    assert await store.write(lambda tx: tx.flows.write_journal(held, [entry])) is True


async def test_a_lease_that_is_renewed_lasts_longer(store: Store) -> None:
    await a_flow(store)
    held = await claimed(store)
    assert held is not None
    assert await store.write(lambda tx: tx.flows.renew(held, MUCH_LATER)) is True
    assert await claimed(store, now=LATER) is None
    assert await claimed(store, now=MUCH_LATER, until=MUCH_LATER) is not None


async def test_t44_a_lease_that_reaches_further_than_leases_do_has_run_out(store: Store) -> None:
    await a_flow(store, until=LATER + timedelta(milliseconds=1))
    assert await runnable(store) == ["flw_1"]
    assert await claimed(store) is not None


async def test_t44_what_a_living_process_holds_is_not_runnable_though_its_lease_has_run_out(store: Store) -> None:
    for number, holder in ((1, "flows-1"), (2, "flows-2"), (3, None)):
        await a_flow(store, number)
        await store.write(lambda tx, n=number, holder=holder: tx.flows.claim([f"flw_{n}"], START, LATER, holder))
    assert await store.read(lambda view: view.flows.holders()) == ["flows-1", "flows-2"]

    async def left(*alive: str) -> list[str]:
        return await store.read(lambda view: view.flows.runnable(LATER, KINDS, 10, alive))

    assert await left() == await left("flows-3") == ["flw_1", "flw_2", "flw_3"]
    assert await left("flows-1") == ["flw_2", "flw_3"]
    assert await left("flows-1", "flows-2") == ["flw_3"]


async def test_a_lease_that_was_given_up_is_not_renewed_although_the_flow_is_runnable_again(store: Store) -> None:
    for number in (1, 2):
        await a_flow(store, number)
    left, given = [await claimed(store, f"flw_{number}") for number in (1, 2)]
    assert left is not None and given is not None
    await store.write(lambda tx: tx.flows.leave(left, FlowState.WAITING))
    await store.write(lambda tx: tx.flows.wake("flw_1"))
    await store.write(lambda tx: tx.flows.release(given, START))
    for lease in (left, given):
        assert await store.write(lambda tx, lease=lease: tx.flows.renew(lease, LATER)) is False
    assert await runnable(store) == ["flw_1", "flw_2"]


async def test_who_gives_a_flow_back_or_leaves_it_holds_it_no_longer(store: Store) -> None:
    leases: list[Lease] = []
    for number in range(1, 5):
        await a_flow(store, number)
        leases += await store.write(lambda tx, n=number: tx.flows.claim([f"flw_{n}"], START, LATER, "flows-1"))
    one, two, *_ = leases
    assert await store.write(lambda tx: tx.flows.release(one, START)) is True
    assert await store.write(lambda tx: tx.flows.leave(two, FlowState.WAITING)) is True
    await store.write(lambda tx: tx.flows.disown("flows-1", ["flw_4"]))
    alive = ("flows-1",)
    assert await store.read(lambda view: view.flows.runnable(START, KINDS, 10, alive)) == ["flw_1"]
    assert await store.read(lambda view: view.flows.runnable(LATER, KINDS, 10, alive)) == ["flw_1", "flw_3"]
    assert await claimed(store) is not None
    assert await store.write(lambda tx: tx.flows.release(one, START)) is False


@pytest.mark.parametrize("state", sorted(set(FlowState) - {FlowState.RUNNABLE, FlowState.SLEEPING}))
async def test_a_flow_that_was_left_is_in_nobodys_hands(store: Store, state: FlowState) -> None:
    await a_flow(store)
    held = await claimed(store)
    assert held is not None
    assert await store.write(lambda tx: tx.flows.leave(held, state)) is True
    assert await store.read(lambda view: view.flows.state("flw_1")) is state
    assert await runnable(store, MUCH_LATER) == []
    assert await claimed(store, now=MUCH_LATER) is None
    assert await store.write(lambda tx: tx.flows.renew(held, MUCH_LATER)) is False
    assert await store.write(lambda tx: tx.flows.leave(held, FlowState.DONE)) is False
    entry = JournalEntry(0, "do", "pay", StepState.DONE, "1")
    assert await store.write(lambda tx: tx.flows.write_journal(held, [entry])) is False


async def test_only_a_waiting_flow_is_woken(store: Store) -> None:
    await a_flow(store)
    assert await store.write(lambda tx: tx.flows.wake("flw_1")) is False
    held = await claimed(store)
    assert held is not None
    await store.write(lambda tx: tx.flows.leave(held, FlowState.WAITING))
    assert await store.write(lambda tx: tx.flows.wake("flw_1")) is True
    assert await runnable(store) == ["flw_1"]
    again = await claimed(store)
    assert again is not None and again.epoch > held.epoch
    await store.write(lambda tx: tx.flows.leave(again, FlowState.DONE))
    assert await store.write(lambda tx: tx.flows.wake("flw_1")) is False


async def test_a_sleeper_wakes_when_its_time_has_come(store: Store) -> None:
    await a_flow(store)
    held = await claimed(store)
    assert held is not None
    await store.write(lambda tx: tx.flows.leave(held, FlowState.SLEEPING, wake_at=MUCH_LATER))
    assert await store.read(lambda view: view.flows.next_wake(dict.fromkeys(KINDS))) == MUCH_LATER
    assert await store.write(lambda tx: tx.flows.wake_sleepers(MUCH_LATER - timedelta(milliseconds=1))) == 0
    assert await store.write(lambda tx: tx.flows.wake_sleepers(MUCH_LATER)) == 1
    assert await store.write(lambda tx: tx.flows.wake_sleepers(MUCH_LATER)) == 0
    assert await runnable(store) == ["flw_1"]


async def test_t06_a_flow_is_runnable_only_for_the_code_that_its_approval_names(store: Store) -> None:
    await a_flow(store, 1)
    await a_flow(store, 2, code="sha256:mine")
    for code, found in ((None, ["flw_1"]), ("sha256:mine", ["flw_1", "flw_2"]), ("sha256:other", ["flw_1"])):
        assert await store.read(lambda view, code=code: view.flows.runnable(START, {"expense": code}, 10)) == found
    held = await claimed(store)
    assert held is not None and await store.write(lambda tx: tx.flows.leave(held, FlowState.DONE))
    assert await store.read(lambda view: view.flows.next_wake({"expense": "sha256:other"})) is None
    assert await store.read(lambda view: view.flows.next_wake({"expense": "sha256:mine"})) == START


async def test_t46_an_approved_flow_that_nobody_claims_for_a_minute_is_found(store: Store) -> None:
    lease = await a_flow(store, code="sha256:mine")

    async def found(now: datetime, flow: str | None = None) -> list[tuple[str, str, str | None]]:
        return await store.read(lambda view: view.flows.unclaimed(now, flow))

    soon, later = START + timedelta(seconds=59), START + timedelta(seconds=60)
    assert await found(later) == []  # nobody has approved it
    await store.write(lambda tx: tx.approvals.resolve(lease.approval, Status.APPROVED, START))
    waits = [(lease.approval, "expense", "sha256:mine")]
    assert (await found(soon), await found(later), await found(later, "flw_1")) == ([], waits, waits)
    assert await found(later, "flw_2") == []
    await store.write(lambda tx: tx.flows.claim(["flw_1"], later, later + LEASE, "flows-1"))
    assert await found(later) == await found(later + 2 * LEASE) == []


async def test_a_sleeper_is_woken_earlier_by_an_approval_that_it_waits_for_too(store: Store) -> None:
    await a_flow(store)
    held = await claimed(store)
    assert held is not None
    await store.write(lambda tx: tx.flows.leave(held, FlowState.SLEEPING, wake_at=MUCH_LATER))
    assert await store.write(lambda tx: tx.flows.wake("flw_1")) is True
    assert await store.write(lambda tx: tx.flows.wake("flw_1")) is False
    assert await runnable(store) == ["flw_1"]


async def test_the_next_wake_is_that_of_a_sleeper_or_the_end_of_a_lease(store: Store) -> None:
    assert await store.read(lambda view: view.flows.next_wake(dict.fromkeys(KINDS))) is None
    await a_flow(store, until=LATER)
    assert await store.read(lambda view: view.flows.next_wake(dict.fromkeys(KINDS))) == LATER
    assert await store.read(lambda view: view.flows.next_wake({"other": None})) is None


async def test_flows_are_claimed_together_each_once_with_their_journals(store: Store) -> None:
    ids = [f"flw_{number}" for number in range(1, 5)]
    for number in range(1, 5):
        await a_flow(store, number)
    [second] = await store.write(lambda tx: tx.flows.claim(["flw_2"], START, LATER))
    step = JournalEntry(0, "do", "s", StepState.DONE, "1")
    assert await store.write(lambda tx: tx.flows.write_journal(second, [step]))
    wanted = [ids[3], ids[0], ids[1], "flw_none"]
    leases = await store.write(lambda tx: tx.flows.claim(wanted, START, LATER))
    assert [(lease.flow, lease.epoch) for lease in leases] == [("flw_4", 2), ("flw_1", 2)]  # in their order
    assert await store.read(lambda view: view.flows.journals(ids)) == {one: [step] * (one == "flw_2") for one in ids}
    assert await store.write(lambda tx: tx.flows.claim([], START, LATER)) == []
    assert await store.read(lambda view: view.flows.journals([])) == {}
    assert await runnable(store) == ["flw_3"]


async def test_a_journal_keeps_each_step_as_it_was_written(store: Store) -> None:
    await a_flow(store)
    held = await claimed(store)
    assert held is not None
    steps = [
        JournalEntry(1, "write", "zwei", StepState.DONE, '{"ü": 1}'),
        JournalEntry(0, "do", "eins", StepState.DONE, None),
        JournalEntry(2, "do", "drei", StepState.CLAIMED),
    ]
    for step in steps:
        assert await store.write(lambda tx, one=step: tx.flows.write_journal(held, [one])) is True
    assert await journal(store) == [steps[1], steps[0], steps[2]]
    assert await journal(store, "flw_none") == []


async def test_a_claimed_step_is_finished_once_and_a_finished_one_stays(store: Store) -> None:
    await a_flow(store)
    held = await claimed(store)
    assert held is not None
    claim, done, failed = (JournalEntry(0, "do", "pay", state, None) for state in StepState)
    other = JournalEntry(0, "do", "pay", StepState.DONE, "2")
    next_claim, next_failed = (replace(entry, position=1) for entry in (claim, failed))

    def work(tx: Transaction) -> list[bool]:
        first = [tx.flows.write_journal(held, [one]) for one in (claim, done, other, failed, claim)]
        return first + [tx.flows.write_journal(held, [one]) for one in (next_claim, next_failed, next_claim)]

    assert await store.write(work) == [True, True, False, False, False, True, True, False]
    assert await journal(store) == [done, next_failed]


async def test_steps_are_written_together_whatever_their_number(store: Store) -> None:
    await a_flow(store)
    lost, held = await claimed(store), await claimed(store, now=LATER, until=MUCH_LATER)
    assert lost is not None and held is not None
    claim = JournalEntry(0, "do", "s", StepState.CLAIMED)
    steps = [JournalEntry(number, "do", "s", StepState.DONE, None if number % 2 else "1") for number in range(40)]
    assert await store.write(lambda tx: tx.flows.write_journal(held, [claim])) is True
    assert await store.write(lambda tx: tx.flows.write_journal(lost, steps)) is False
    assert await store.write(lambda tx: tx.flows.write_journal(held, steps)) is True
    assert await journal(store) == steps
    more = [steps[3], replace(steps[3], position=40)]  # the first of them is done already
    assert await store.write(lambda tx: tx.flows.write_journal(held, more)) is False


async def test_who_has_a_flow_marks_a_step_that_is_done_with_its_turn(store: Store) -> None:
    await a_flow(store)
    lost, held = await claimed(store), await claimed(store, now=LATER, until=MUCH_LATER)
    assert lost is not None and held is not None
    done = JournalEntry(0, "wait", "people", StepState.DONE, "apr_1", "0.0/")
    turned, given_up = replace(done, turn=7), replace(done, state=StepState.FAILED)
    assert await store.write(lambda tx: tx.flows.mark_journal(held, turned)) is False
    assert await store.write(lambda tx: tx.flows.write_journal(held, [done])) is True
    assert await store.write(lambda tx: tx.flows.mark_journal(lost, turned)) is False
    for entry in (turned, given_up):
        assert await store.write(lambda tx, one=entry: tx.flows.mark_journal(held, one)) is True
        assert await journal(store) == [entry]


async def test_only_a_flow_that_stopped_as_unknown_is_settled(store: Store) -> None:
    await a_flow(store)
    held = await claimed(store)
    assert held is not None
    assert await store.write(lambda tx: tx.flows.settle("flw_1", FlowState.DONE)) is False
    await store.write(lambda tx: tx.flows.leave(held, FlowState.UNKNOWN))
    assert await store.write(lambda tx: tx.flows.settle("flw_1", FlowState.FAILED)) is True
    assert await store.read(lambda view: view.flows.state("flw_1")) is FlowState.FAILED
    assert await store.write(lambda tx: tx.flows.settle("flw_1", FlowState.DONE)) is False


async def test_two_stores_at_once_claim_a_flow_once(store: Store, open_store: Callable[[], Store]) -> None:
    other = open_store()
    for number in range(20):
        await a_flow(store, number)
        leases: list[Lease | None] = []

        async def claim(by: Store, flow: str = f"flw_{number}", into: list[Lease | None] = leases) -> None:
            into.append(await claimed(by, flow))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(claim, store)
            tasks.start_soon(claim, other)
        assert [lease is None for lease in leases].count(True) == 1
    await other.close()
