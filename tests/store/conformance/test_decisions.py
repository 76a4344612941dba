"""Decisions: what every store keeps of them, and that each is made once."""

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from samples import START, a_decision
from store_samples import insert, numbered

from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio


async def test_a_decision_comes_back_with_every_field(store: Store) -> None:
    approval = numbered(1)
    decision = a_decision(
        "os:bo",
        Verdict.REJECT,
        approval=approval.id,
        revision=1,
        stage=2,
        established="loopback",
        comment="Zu teuer 💸",
        assurance=Assurance.STEP_UP,
        nonce="n-1",
        looked=timedelta(seconds=1, milliseconds=234),
        at=START + timedelta(milliseconds=7),
    )
    await insert(store, approval)
    assert await store.write(lambda tx: tx.approvals.add_decision(decision))
    found = await store.read(lambda view: view.approvals.get(approval.id))
    assert found is not None and found.decisions == (decision,)


async def test_t20_an_approver_decides_once_in_each_stage_of_each_revision(store: Store) -> None:
    approval = numbered(1)
    first = a_decision("os:ana", approval=approval.id, comment="first")
    await insert(store, approval)

    def decide(tx: Transaction) -> list[bool]:
        return [
            tx.approvals.add_decision(first),
            tx.approvals.add_decision(replace(first, verdict=Verdict.REJECT, comment="second", nonce="other")),
            tx.approvals.add_decision(replace(first, approver="os:bo")),
            tx.approvals.add_decision(replace(first, stage=2)),
            tx.approvals.add_decision(replace(first, revision=2)),
        ]

    assert await store.write(decide) == [True, False, True, True, True]
    assert await store.write(lambda tx: tx.approvals.add_decision(first)) is False
    found = await store.read(lambda view: view.approvals.get(approval.id))
    assert found is not None
    assert [(d.approver, d.stage, d.revision) for d in found.decisions] == [
        ("os:ana", 1, 1),
        ("os:bo", 1, 1),
        ("os:ana", 2, 1),
        ("os:ana", 1, 2),
    ]
    assert found.decisions[0] == first


async def test_a_decision_needs_its_approval(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await store.write(lambda tx: tx.approvals.add_decision(a_decision(approval="apr_none")))


async def test_t20_two_stores_at_once_keep_one_decision_of_an_approver(store: Store, other: Store) -> None:
    for number in range(25):
        approval = numbered(number)
        await insert(store, approval)
        added: list[bool] = []

        async def decide(by: Store, target: str = approval.id, into: list[bool] = added) -> None:
            into.append(await by.write(lambda tx: tx.approvals.add_decision(a_decision(approval=target))))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(decide, store)
            tasks.start_soon(decide, other)
        assert sorted(added) == [False, True]
