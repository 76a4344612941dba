"""Revisions, the contents behind digests, and erasing them: what every store does."""

from dataclasses import replace

import pytest
from samples import START, a_decision
from store_samples import WEEK_LATER, an_entry, found, insert, numbered, revised

from mcp_hitl.domain.approvals.approval import Outcome, OutcomeState, Progress, Status
from mcp_hitl.domain.values.canonical import canonical, digest_of
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction

pytestmark = pytest.mark.anyio


async def test_a_revision_replaces_what_it_may_and_keeps_what_was_there(store: Store) -> None:
    one = numbered(1, escalated=("os:di",))
    await insert(store, one)
    second, first_edit = revised(one, {"amount": 0.1, "ü": None})
    assert await store.write(lambda tx: tx.approvals.revise(second, first_edit)) is True
    third, second_edit = revised(second, one.payload, None)
    assert await store.write(lambda tx: tx.approvals.revise(third, second_edit)) is True
    assert await found(store, one) == replace(third, edits=(first_edit, second_edit))


async def test_a_revision_that_was_made_already_or_of_what_has_ended_is_not_made(store: Store) -> None:
    one, two = numbered(1), numbered(2)
    await insert(store, one, two)
    await store.write(lambda tx: tx.approvals.revise(*revised(one, {"a": 1})))
    before = await found(store, one)
    assert await store.write(lambda tx: tx.approvals.revise(*revised(one, {"a": 2}))) is False
    assert await found(store, one) == before
    await store.write(lambda tx: tx.approvals.resolve(two.id, Status.CANCELLED, START))
    assert await store.write(lambda tx: tx.approvals.revise(*revised(two, {"a": 2}))) is False
    assert (await found(store, two)).edits == ()


async def test_contents_are_kept_by_their_digest(store: Store) -> None:
    one = numbered(1)
    await insert(store, one)
    second, edit = revised(one, {"b": 1, "a": 0.5})
    decision = a_decision(approval=one.id, comment="Grüße 😀", revision=2)
    await store.write(lambda tx: (tx.approvals.revise(second, edit), tx.approvals.add_decision(decision)))
    kept = await store.read(lambda view: view.log.contents_of([one.id])[one.id])
    texts = [canonical(content, what="").decode() for content in (one.payload, second.payload, "Less", "Grüße 😀")]
    assert kept == {digest_of(text.encode()): text for text in texts}
    assert await store.read(lambda view: view.log.contents_of(["apr_none"])) == {}


async def test_erasing_removes_contents_and_leaves_what_happened(store: Store) -> None:
    one = numbered(1, claim="Please", form={"type": "object"}, dedup_key="k")
    await insert(store, one)

    def work(tx: Transaction) -> None:
        second, edit = revised(one, {"a": 1})
        tx.approvals.revise(second, edit)
        tx.approvals.add_decision(a_decision(approval=one.id, revision=2, comment="Fine"))
        tx.approvals.add_progress(one.id, Progress(step="s", message="m", at=START), 9)
        tx.approvals.resolve(one.id, Status.APPROVED, START, answer={"a": 1}, reason="Because")
        tx.approvals.set_outcome(one.id, Outcome(OutcomeState.FAILED, {"r": 1}, "It broke"))
        tx.log.append(an_entry(one))

    await store.write(work)
    before = await found(store, one)
    await store.write(lambda tx: tx.approvals.erase(one.id, WEEK_LATER))
    after = await found(store, one)
    (edit,), (decision,) = before.edits, before.decisions
    assert after == replace(
        before,
        payload=None,
        title="(erased)",
        claim=None,
        form=None,
        answer=None,
        reason=None,
        outcome=Outcome(OutcomeState.FAILED),
        decisions=(replace(decision, comment=None),),
        edits=(replace(edit, comment=None, before=None, after=None),),
        progress=(),
        erased_at=WEEK_LATER,
    )
    assert await store.read(lambda view: (view.log.contents_of([one.id]), len(view.log.entries(one.id)))) == ({}, 1)


async def test_what_is_pending_is_not_erased(store: Store) -> None:
    await insert(store, numbered(1))
    with pytest.raises(Exception, match="payload"):
        await store.write(lambda tx: tx.approvals.erase(numbered(1).id, START))
    assert await found(store, numbered(1)) == numbered(1)
