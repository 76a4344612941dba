"""What the tests of every store begin with."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
from samples import START, an_approval

from mcp_hitl.domain.approvals.approval import Approval, Edit, Outcome, OutcomeState, Status
from mcp_hitl.domain.evidence.chain import Entry
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance, Escalation, Policy, Stage
from mcp_hitl.domain.values.canonical import canonical, digest_of
from mcp_hitl.domain.values.ids import approval_id
from mcp_hitl.store.lists import id_of
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View

WEEK_LATER = START + timedelta(days=7)


def numbered(number: int, **changes: Any) -> Approval:
    """A pending approval whose id is the `number`th in order."""
    return an_approval(id=approval_id(START, number), **changes)


def an_entry(approval: Approval, event: Event = Event.OPENED, **changes: Any) -> Entry:
    return replace(Entry(approval=approval.id, event=event, revision=1, actor="os:ana", at=START), **changes)


async def insert(store: Store, *approvals: Approval) -> None:
    def work(tx: Transaction) -> None:
        for approval in approvals:
            tx.approvals.insert(approval)

    await store.write(work)


async def append(store: Store, *entries: Entry) -> None:
    def work(tx: Transaction) -> None:
        for entry in entries:
            tx.log.append(entry)

    await store.write(work)


FULL = numbered(
    1,
    claim="Deploy „now“",
    payload={"z": 1, "a": [True, None, {"ü": "漢字 😀"}], "amount": 0.1},
    status=Status.REJECTED,
    revision=3,
    policy=Policy(
        stages=(
            Stage(("group:finance", "os:ana"), 2, (Escalation(timedelta(hours=1.5), ("group:finance", "os:bo")),)),
            Stage(("local",)),
        ),
        rejections=2,
        assurance=Assurance.SESSION,
        unattended=True,
        four_eyes=True,
        editor_may_approve=False,
        one_stage_each=True,
        valid_for=timedelta(days=1, milliseconds=1),
        remind_after=(timedelta(hours=4), timedelta(days=2)),
        members={"finance": frozenset({"os:ana", "os:ünï"}), "nobody": frozenset()},
    ),
    form={"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "number"}}, "required": ["z"]},
    dedup_key="key '; DROP TABLE approvals; --",
    cooldown_until=START + timedelta(hours=24),
    resolved_at=START + timedelta(milliseconds=1),
    asked=5,
    answer={"z": "später", "a": 5},
    reason="no\nreason",
    stage_since=START + timedelta(milliseconds=2),
    timed_to=START + timedelta(milliseconds=3),
    escalated=("group:finance", "os:bo"),
    flow="flw_1",
    rule="large ones",
    erased_at=START + timedelta(days=365),
    outcome=Outcome(OutcomeState.FAILED, {"code": 7}, "It broke"),
)


class Held:
    """Keeps the store's writer busy, so that what is written meanwhile queues up."""

    def __init__(self) -> None:
        """Hold from the moment that `hold` runs until `let_go`."""
        self._started, self._release = threading.Event(), threading.Event()

    def hold(self, _: View) -> None:
        self._started.set()
        assert self._release.wait(20)

    async def is_held(self) -> None:
        assert await anyio.to_thread.run_sync(self._started.wait, 20)

    def let_go(self) -> None:
        self._release.set()


async def found(store: Store, approval: Approval) -> Approval:
    held = await store.read(lambda view: view.approvals.get(approval.id))
    assert held is not None
    return held


def revised(approval: Approval, payload: Any, comment: str | None = "Less") -> tuple[Approval, Edit]:
    """A next revision with everything changed that an edit may change, and its edit."""
    new = replace(
        approval,
        payload=payload,
        digest=digest_of(canonical(payload, what="payload")),
        revision=approval.revision + 1,
        title="Another title",
        policy=Policy(rejections=3),
        form={"type": "object"},
        rule="another rule",
        stage_since=START + timedelta(hours=1),
        timed_to=START + timedelta(hours=1),
        escalated=(),
    )
    edit = Edit(
        revision=new.revision,
        editor="os:ana",
        comment=comment,
        before=approval.payload,
        after=payload,
        at=START + timedelta(hours=1),
        established="os-user",
    )
    return new, edit


async def listed(store: Store, **options: Any) -> list[str]:
    choice: dict[str, Any] = {"kind": None, "after": None, "limit": 100, **options}
    now = choice.pop("now", START)
    return [id_of(approval) for approval in await store.read(lambda view: view.lists.pending(now, **choice))]
