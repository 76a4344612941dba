"""What happens after an approval: the caller redeems it and reports, once; or a flow carries it out here."""

from typing import Any

import anyio
import pytest
from mcp import Client
from mcp_types import CallToolResult
from server.rig import GUARD_SECONDS, MODERN, Rig, refused, valid
from wires import PROTOCOLS, Person, accept, carried_out, connect, content, text

from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.policy.principal import Established, Principal
from mcp_hitl.domain.values.canonical import JsonObject

pytestmark = pytest.mark.anyio

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
OTHER_DIGEST = "sha256:" + "0" * 64


async def _redeem(client: Client, approval: Any) -> CallToolResult:
    arguments = {"id": approval["id"], "digest": approval["digest"]}
    return valid("redeem-approval", await client.call_tool("redeem-approval", arguments))


@every_protocol
@pytest.mark.parametrize(
    ("report", "outcome", "says"),
    [
        (
            {"succeeded": True, "note": "Sent to 12 people."},
            {"state": "succeeded", "result": {"note": "Sent to 12 people."}, "error": None},
            "Approved and done",
        ),
        (
            {"succeeded": False, "note": "No such list."},
            {"state": "failed", "result": None, "error": "No such list."},
            "Approved, but it failed",
        ),
    ],
    ids=["succeeded", "failed"],
)
async def test_the_next_sentence_leads_from_asking_to_redeeming_to_reporting(
    rig: Rig, protocol: str, report: JsonObject, outcome: JsonObject, says: str
) -> None:
    async with connect(rig.server.mcp, protocol, person=Person(accept(decision="approve"))) as client:
        asked = content(await client.call_tool("request-approval", {"title": "Send it", "details": {"to": "all"}}))
        approved = content(await client.call_tool("approve", {"id": asked["id"]}))
        assert "Call redeem-approval with this id and digest" in approved["next"]
        redeemed = content(await _redeem(client, approved))
        assert redeemed["outcome"] == {"state": "running", "result": None, "error": None}
        assert redeemed["next"].startswith("Redeemed: do exactly what `payload` says now")
        assert "report-outcome" in redeemed["next"]
        twice = [await client.call_tool("report-outcome", {"id": asked["id"], **report}) for _ in range(2)]
        before = rig.rows()
        contrary = {"id": asked["id"], "succeeded": not report["succeeded"]}
        told = await refused(client, "report-outcome", contrary, "conflict")
    for reported in twice:
        assert content(valid("report-outcome", reported))["outcome"] == outcome
        assert content(reported)["next"].startswith(says)
    assert f"its outcome is {outcome['state']}" in told
    assert rig.rows() == before


@every_protocol
async def test_t08_an_approval_is_redeemed_once(rig: Rig, protocol: str) -> None:
    approval = await rig.opened()
    await rig.decide(approval.id)
    arguments = {"id": approval.id, "digest": approval.digest}
    async with connect(rig.server.mcp, protocol) as client:
        assert not (await client.call_tool("redeem-approval", arguments)).is_error
        assert "used only once" in await refused(client, "redeem-approval", arguments, "conflict")
        await client.call_tool("report-outcome", {"id": approval.id, "succeeded": True})
        await refused(client, "redeem-approval", arguments, "conflict")


async def test_t08_of_many_who_redeem_at_once_through_two_processes_one_may_act(rig: Rig) -> None:
    local = rig.desk_principal
    async with connect(rig.server.mcp, MODERN) as here, connect(rig.database, MODERN) as there:
        for number in range(5):
            # Asked through the other process, whose caller the one here stands for: somebody at this machine.
            details = {"number": number}
            asked = content(await there.call_tool("request-approval", {"title": "Do it", "details": details}))
            await rig.decide(asked["id"])
            other = rig.serving_as(Principal(asked["requested_by"], Established.OS_USER))
            assert asked["requested_by"] != local.id
            results: list[CallToolResult] = []

            async def redeem(client: Client, approval: Any, results: list[CallToolResult] = results) -> None:
                results.append(await _redeem(client, approval))

            async with connect(other.mcp, MODERN) as same, anyio.create_task_group() as tasks:
                for client in (same, there, same, there):
                    tasks.start_soon(redeem, client, asked)
            assert sorted(content(result).get("code", "may act") for result in results) == [
                "conflict",
                "conflict",
                "conflict",
                "may act",
            ]
            trail = content(await here.call_tool("audit-trail", {"id": asked["id"]}))
            assert [entry["event"] for entry in trail["entries"]].count("started") == 1


@every_protocol
async def test_t01_another_digest_than_the_approved_one_is_refused_and_uses_nothing_up(rig: Rig, protocol: str) -> None:
    approval = await rig.opened()
    await rig.decide(approval.id)
    before = rig.rows()
    async with connect(rig.server.mcp, protocol) as client:
        for digest in (OTHER_DIGEST, approval.digest.upper(), approval.digest[:-1], "", "x"):
            told = await refused(client, "redeem-approval", {"id": approval.id, "digest": digest}, "conflict")
            assert "another payload" in told
        assert rig.rows() == before
        result = await client.call_tool("redeem-approval", {"id": approval.id, "digest": approval.digest})
    assert content(result)["outcome"]["state"] == "running"


@every_protocol
async def test_what_is_not_approved_is_neither_redeemed_nor_reported_on(rig: Rig, protocol: str) -> None:
    pending = await rig.opened(payload={"status": "pending"})
    rejected = await rig.opened(payload={"status": "rejected"})
    await rig.decide(rejected.id, Verdict.REJECT)
    cancelled = await rig.opened(payload={"status": "cancelled"})
    await rig.desk.approvals.cancel(rig.desk_principal, cancelled.id)
    unredeemed = await rig.opened(payload={"status": "approved"})
    await rig.decide(unredeemed.id)
    before = rig.rows()
    async with connect(rig.server.mcp, protocol) as client:
        for approval in (pending, rejected, cancelled):
            arguments = {"id": approval.id, "digest": approval.digest}
            told = await refused(client, "redeem-approval", arguments, "not_allowed")
            assert f"{approval.id} is {approval.payload['status']}, not approved. Do not act on it." in told
        for approval in (pending, rejected, cancelled, unredeemed):
            await refused(client, "report-outcome", {"id": approval.id, "succeeded": True}, "conflict")
    assert rig.rows() == before


@every_protocol
async def test_only_its_requester_redeems_and_reports(rig: Rig, protocol: str) -> None:
    approval = await rig.desk.approvals.submit(Principal("os:bo", Established.OS_USER), "action", {"do": "it"})
    await rig.decide(approval.id)
    async with connect(rig.server.mcp, protocol) as client:
        arguments = {"id": approval.id, "digest": approval.digest}
        assert "only its requester" in await refused(client, "redeem-approval", arguments, "not_allowed")
        reported = {"id": approval.id, "succeeded": True}
        assert "only its requester" in await refused(client, "report-outcome", reported, "not_allowed")


@every_protocol
async def test_what_is_carried_out_here_is_not_the_callers_to_redeem_or_to_report_on(rig: Rig, protocol: str) -> None:
    expense = await rig.opened("expense", {"amount": 5, "currency": "USD", "description": "Taxi"})
    question = await rig.opened("question", {"question": "When?"})
    await rig.decide(expense.id)
    await rig.decide(question.id, answer={"answer": "now"})
    async with connect(rig.server.mcp, protocol) as client:
        for approval in (expense, question):
            arguments = {"id": approval.id, "digest": approval.digest}
            told = await refused(client, "redeem-approval", arguments, "not_allowed")
            assert "nothing to redeem" in told
        told = await refused(client, "report-outcome", {"id": expense.id, "succeeded": True}, "not_allowed")
        assert "carried out here" in told
        await refused(client, "report-outcome", {"id": question.id, "succeeded": True}, "conflict")


@every_protocol
@pytest.mark.parametrize("transport", ["memory", "http"])
async def test_an_expense_is_carried_out_as_soon_as_it_is_approved(
    carrying: Rig, carrying_target: Any, protocol: str, transport: str
) -> None:
    async with connect(carrying_target, protocol, person=Person(accept(decision="approve"))) as client:
        asked = content(await client.call_tool("submit-expense", {"amount": 12.5, "description": "Taxi"}))
        waited: list[CallToolResult] = []
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                waited.append(await client.call_tool("wait-for-approval", {"id": asked["id"]}))

            tasks.start_soon(wait)
            await carrying.somebody_listens()
            await client.call_tool("approve", {"id": asked["id"]})
        assert content(waited[0])["status"] == "approved"
        with anyio.fail_after(GUARD_SECONDS):
            done = await carried_out(client, asked["id"])
        told = await client.call_tool("get-approval", {"id": asked["id"]})
        trail = valid("audit-trail", await client.call_tool("audit-trail", {"id": asked["id"]}))
    assert done["outcome"] == {"state": "succeeded", "result": {"amount": 12.5, "currency": "USD"}, "error": None}
    assert [(one["step"], one["message"]) for one in done["progress"]] == [
        ("approval", "Awaiting approval for 12.50 USD")
    ]
    assert "approval: Awaiting approval for 12.50 USD" in text(told)
    assert content(told)["next"] == "Approved and done; `outcome` has the result."
    entries = content(trail)["entries"]
    assert [entry["event"] for entry in entries if entry["event"] != "progress"] == [
        "opened",
        "decided",
        "approved",
        "started",
        "succeeded",
    ]
    assert content(trail)["verified"] is True
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry["previous"] for entry in entries[1:]] == [entry["hash"] for entry in entries[:-1]]


@every_protocol
async def test_an_expense_that_a_person_edited_is_carried_out_as_edited(carrying: Rig, protocol: str) -> None:
    async with connect(carrying.server.mcp, protocol, person=Person(accept(decision="approve"))) as client:
        asked = content(await client.call_tool("submit-expense", {"amount": 100, "description": "Dinner"}))
        cheaper = asked["payload"] | {"amount": 80}
        edited = content(await client.call_tool("edit-approval", {"id": asked["id"], "payload": cheaper}))
        assert (edited["status"], edited["revision"]) == ("pending", 2)
        approved = content(await client.call_tool("approve", {"id": asked["id"]}))
        assert approved["digest"] == edited["digest"]
        with anyio.fail_after(GUARD_SECONDS):
            done = await carried_out(client, asked["id"])
    assert done["outcome"]["result"] == {"amount": 80, "currency": "USD"}


async def test_t35_a_trail_whose_entry_was_changed_is_not_verified(rig: Rig) -> None:
    approval = await rig.opened()
    await rig.decide(approval.id)
    async with connect(rig.server.mcp, MODERN) as client:
        whole = content(await client.call_tool("audit-trail", {"id": approval.id}))
        await rig.store.write(_forge)
        broken = valid("audit-trail", await client.call_tool("audit-trail", {"id": approval.id}))
    assert whole["verified"] is True
    assert content(broken)["verified"] is False


def _forge(tx: Any) -> None:
    """Somebody with the file writes past this program."""
    [(trigger,)] = tx.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND sql LIKE '%UPDATE ON audit%'")
    tx.execute(f"DROP TRIGGER {trigger}")
    tx.execute("UPDATE audit SET actor = 'os:ceo' WHERE event = 'decided'")
