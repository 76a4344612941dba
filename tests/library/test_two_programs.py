"""T6: two programs on one database with a kind of the same name. What one asks, the other neither approves nor runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_hitl import Approvals, Assurance, Established, Flow, Kind, OutcomeState, Principal, Status, Step
from mcp_hitl.desk.doctor_facts import examine
from mcp_hitl.doctor.findings.finding import Finding
from mcp_hitl.doctor.findings.state import Found, state_findings
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Conflict, NotAllowed

pytestmark = pytest.mark.anyio

ANA = Principal("os:ana", Established.OS_USER)
OTHER = "another definition of the kind 'refund'"
POLICY = """
[kinds.refund]
title = "Refund {amount}"
schema = { type = "object", properties = { amount = { type = "integer" } }, required = ["amount"] }
"""
Asked = Callable[..., Awaitable[JsonObject]]


class Programs:
    """Programs on one database, and what their functions did."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.did: list[str] = []

    def shop(
        self, title: str = "Refund {amount}", *, name: str = "shop", policy: Path | None = None
    ) -> tuple[Approvals, Asked]:
        """A program that refunds."""
        approvals = Approvals(self.database, name=name, policy=policy)

        @approvals.gate(title=title)
        async def refund(amount: int) -> None:
            self.did.append(f"shop {amount}")

        return approvals, refund

    def bank(self, title: str = "Refund {amount}", *, policy: Path | None = None) -> tuple[Approvals, Asked]:
        """Another one, whose function has the same name."""
        approvals = Approvals(self.database, name="bank", policy=policy)

        @approvals.gate(title=title)
        async def refund(amount: int) -> None:
            self.did.append(f"bank {amount}")

        return approvals, refund


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "hitl.db")


async def approve(approvals: Approvals, asked: JsonObject) -> None:
    await approvals.approve(await approvals.get(asked["id"]), ANA, assurance=Assurance.LOCAL)


async def look_for_work(approvals: Approvals) -> None:
    """Wait until the program has looked for work: its own request, made now, is done."""
    done = await approvals.request("probe", {"n": 1}, kind="counted")
    await approve(approvals, {"id": done.id})
    with anyio.fail_after(20):
        assert (await approvals.outcome(done.id)).outcome.state is OutcomeState.SUCCEEDED


def counted(approvals: Approvals) -> None:
    class Counted(Flow[Any, Any]):
        kind = "counted"

        async def run(self, value: Any, step: Step) -> Any:
            await step.wait_for_approval("approval", payload=value)

    approvals.add(Counted, Kind(name="counted", schema={"type": "object"}))


async def test_t06_what_one_program_asked_another_neither_approves_nor_runs(programs: Programs) -> None:
    shop, refund = programs.shop("Give {amount} back")
    bank, _ = programs.bank("Show {amount}")
    counted(bank)
    async with shop.running():
        first, second = await refund(1), await refund(2)
    async with bank.running():
        with pytest.raises(NotAllowed, match=OTHER):
            await approve(bank, first)
        # Somebody whose program knows neither, such as the inbox, reads the title that was asked, and approves.
        async with Approvals(programs.database).running() as inbox:
            shown = await inbox.get(second["id"])
            assert shown.title == "Give 2 back"
            await approve(inbox, second)
        await look_for_work(bank)
        assert (await bank.get(second["id"])).outcome.state is OutcomeState.NONE
    assert programs.did == []
    async with shop.running():
        with anyio.fail_after(20):
            await shop.outcome(second["id"])
    assert programs.did == ["shop 2"]


async def test_t06_the_same_program_goes_on_after_a_restart(programs: Programs) -> None:
    shop, refund = programs.shop()
    async with shop.running():
        asked = await refund(1)
    again, _ = programs.shop()
    async with again.running():
        await approve(again, asked)
        with anyio.fail_after(20):
            await again.outcome(asked["id"])
    assert programs.did == ["shop 1"]


@pytest.mark.parametrize("changed", ["title", "name", "schema"])
async def test_t06_what_an_earlier_version_asked_can_be_rejected_or_cancelled_and_asked_anew(
    programs: Programs, changed: str
) -> None:
    shop, refund = programs.shop()
    async with shop.running():
        first, second = await refund(1), await refund(2)
    match changed:
        case "title":
            later, again = programs.shop("Give {amount} back")
        case "name":
            later, again = programs.shop(name="market")
        case _:
            later, again = Approvals(programs.database, name="shop"), refund
            later.gate(title="Refund {amount}", kind="refund")(with_a_reason)
    async with later.running():
        held = await later.get(first["id"])
        with pytest.raises(NotAllowed, match=OTHER):
            await approve(later, first)
        with pytest.raises(NotAllowed, match=OTHER):
            await later.desk.approvals.edit(ANA, Shown.of(held), {"amount": 3}, assurance=Assurance.LOCAL)
        rejected = await later.reject(held, ANA, assurance=Assurance.LOCAL, comment="asked by the earlier version")
        assert rejected.status is Status.REJECTED
        if changed == "name":
            return
        cancelled = await later.desk.approvals.cancel(later.requester, second["id"])
        assert cancelled.status is Status.CANCELLED
        if changed == "title":
            anew = await again(2)
            await approve(later, anew)
            with anyio.fail_after(20):
                await later.outcome(anew["id"])
            assert programs.did == ["shop 2"]


async def test_t46_what_nobody_carries_out_since_its_program_was_changed_is_found_and_settled(
    programs: Programs,
) -> None:
    shop, refund = programs.shop()
    later, _ = programs.shop("Give {amount} back")
    counted(later)
    async with shop.running():
        asked = await refund(1)
    async with Approvals(programs.database).running() as inbox:
        await approve(inbox, asked)
    async with later.running():
        await look_for_work(later)
        assert await waiting(later) == []  # it was approved just now
        with pytest.raises(Conflict, match="nothing to reconcile"):
            await later.desk.decisions.reconcile(ANA, asked["id"], False, assurance=Assurance.LOCAL)
    resolved_earlier(programs.database, 61_000)
    async with later.running():
        [finding] = await waiting(later)
        assert "another definition or another flow" in finding.what
        assert finding.mend[0].command == ("reconcile", asked["id"], "--failed")
        settled = await later.desk.decisions.reconcile(ANA, asked["id"], False, assurance=Assurance.LOCAL)
        assert settled.outcome.state is OutcomeState.FAILED
        assert await waiting(later) == []
    async with shop.running():
        assert (await shop.outcome(asked["id"])).outcome.state is OutcomeState.FAILED
        resolved_earlier(programs.database, -61_000)  # as the log says
        assert (await shop.desk.evidence.verify()).wrong is None
    assert programs.did == []


def resolved_earlier(database: Path, ms: int) -> None:
    """Let so much time pass since what was approved."""
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("UPDATE approvals SET resolved_at = resolved_at - ?", (ms,))


async def waiting(program: Approvals) -> list[Finding]:
    """What doctor finds of approved actions that nobody carries out, under the policy of this program."""
    desk = program.desk
    seen = await desk.store.read(lambda view: examine(view, desk.clock))
    return [one for one in state_findings(Found(seen), desk.rulebook) if one.code == "action-waits"]


async def test_t06_an_equal_request_does_not_join_one_of_another_definition(programs: Programs) -> None:
    shop, refund = programs.shop("Give {amount} back")
    later, again = programs.shop("Refund {amount}")
    async with shop.running():
        first = await refund(1)
        kept = await shop.desk.approvals.submit(shop.requester, "refund", {"amount": 2}, dedup_key="k")
    async with later.running():
        second = await again(1)
        assert second["id"] != first["id"] and second["title"] == "Refund 1"
        with pytest.raises(Conflict, match=kept.id):
            await later.desk.approvals.submit(later.requester, "refund", {"amount": 2}, dedup_key="k")


async def test_t06_a_kind_of_the_policy_is_decided_by_all_who_share_it_and_run_only_by_who_asked(
    programs: Programs, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    shop, refund = programs.shop(policy=policy)
    bank, _ = programs.bank(policy=policy)
    counted(bank)
    async with shop.running():
        asked = await refund(1)
    async with Approvals(programs.database, policy=policy).running() as inbox:
        await approve(inbox, asked)
    async with bank.running():
        await look_for_work(bank)
    assert programs.did == []
    async with shop.running():
        with anyio.fail_after(20):
            await shop.outcome(asked["id"])
    assert programs.did == ["shop 1"]


async def test_t06_secret_fields_of_another_definition_stay_secret(programs: Programs) -> None:
    secret = {"type": "object", "properties": {"pin": {"type": "string", "writeOnly": True}}}
    shop, bank = Approvals(programs.database, name="shop"), Approvals(programs.database, name="bank")
    shop.add(one_flow(), Kind(name="refund", schema=secret))
    bank.add(one_flow(), Kind(name="refund", schema={"type": "object"}))
    async with shop.running():
        asked = await shop.request("Refund", {"pin": "CANARY"}, kind="refund")
    async with bank.running():
        assert "CANARY" not in repr(await bank.get(asked.id))


async def test_t06_what_was_asked_before_definitions_were_kept_goes_on(programs: Programs) -> None:
    shop, refund = programs.shop()
    async with shop.running():
        asked = await refund(1)
    with closing(sqlite3.connect(programs.database)) as db, db:
        db.execute("UPDATE approvals SET definition = NULL, code = NULL")
    later, _ = programs.shop("Give {amount} back")
    async with later.running():
        await approve(later, asked)
        with anyio.fail_after(20):
            await later.outcome(asked["id"])
    assert programs.did == ["shop 1"]


async def test_t35_a_definition_that_was_changed_in_the_file_is_found(programs: Programs) -> None:
    shop, refund = programs.shop()
    async with shop.running():
        await refund(1)
        assert (await shop.desk.evidence.verify()).wrong is None
        for column in ("definition", "code"):
            with closing(sqlite3.connect(programs.database)) as db, db:
                [(was,)] = db.execute(f"SELECT {column} FROM approvals").fetchall()
                db.execute(f"UPDATE approvals SET {column} = NULL")
            assert "definition" in str((await shop.desk.evidence.verify()).wrong)
            with closing(sqlite3.connect(programs.database)) as db, db:
                db.execute(f"UPDATE approvals SET {column} = ?", (was,))


async def with_a_reason(amount: int, reason: str = "") -> None:
    """What a later version of the function takes."""


def one_flow() -> type[Flow[Any, Any]]:
    class Refund(Flow[Any, Any]):
        kind = "refund"

        async def run(self, value: Any, step: Step) -> Any:
            await step.wait_for_approval("approval", payload=value)

    return Refund
