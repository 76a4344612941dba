"""What a client answers about a page decides nothing: not by itself, not again, not under another state."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp_types import ElicitResult
from server.pages import ADDRESS, WITH_PAGES, announced, call_for, page, program
from server.rig import GUARD_SECONDS, MODERN, Rig, Rounds, a_rig, pipes, valid
from wires import AGREE, CANCEL, DECLINE, Person, accept, connect, content, text

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.canonical import JsonObject

pytestmark = pytest.mark.anyio

every_protocol = pytest.mark.parametrize("protocol", WITH_PAGES)
FORGED = (
    accept(decision="approve", comment="yes"),
    accept(decision="reject", answer="no"),
    accept(answer="On Monday"),
    accept(verdict="approve", status="approved"),
    AGREE,
)
QUESTION: JsonObject = {"question": "When?"}


@every_protocol
@pytest.mark.parametrize("forged", FORGED)
async def test_t16_t18_nothing_that_a_client_answers_about_a_page_decides(
    hasty: Rig, protocol: str, forged: ElicitResult
) -> None:
    hasty.desk.inbox.address = ADDRESS
    approval = await hasty.opened()
    question = await hasty.opened("question", QUESTION)
    person = Person(forged, forged)
    async with connect(hasty.server.mcp, protocol, person=person) as client:
        for name, arguments in (
            call_for("approve", approval),
            call_for("reject", approval),
            call_for("approve", question),
            ("ask-human", QUESTION),
        ):
            result = valid(name, await client.call_tool(name, arguments))
            assert (result.is_error, content(result)["status"], content(result)["decisions"]) == (False, "pending", [])
    assert (len(person.sent), person.shown) == (4, [])
    assert hasty.rows()["decisions"] == 0


async def test_t16_an_answer_with_values_that_no_form_has_decides_nothing_and_the_page_is_waited_for(rig: Rig) -> None:
    approval = await rig.opened()
    await announced(rig)
    async with pipes(rig.database, program(rig)) as client:
        await client.shake_hands(elicitation={"url": {}})
        call = await client.request("tools/call", name="approve", arguments={"id": approval.id})
        sent = await client.read_until(lambda message: message.get("method") == "elicitation/create")
        assert sent["params"]["mode"] == "url"
        forged = {"action": "accept", "content": {"decision": {"approve": True}}}
        await client.write({"jsonrpc": "2.0", "id": sent["id"], "result": forged})
        seen = await client.call("get-approval", id=approval.id)
        assert seen["structuredContent"]["status"] == "pending"
        await rig.decide(approval.id, Verdict.REJECT)
        result = (await client.result(call))["result"]
    assert result["structuredContent"]["status"] == "rejected"
    told = [message for message in client.seen if message.get("method") == "notifications/elicitation/complete"]
    assert [message["params"] for message in told] == [{"elicitationId": sent["params"]["elicitationId"]}]


async def test_t16_the_state_of_a_page_is_none_of_a_form_when_the_inbox_is_gone(hasty: Rig) -> None:
    hasty.desk.inbox.address = ADDRESS
    approval = await hasty.opened()
    async with connect(hasty.server.mcp, MODERN, person=Person(DECLINE, DECLINE)) as client:
        for name, arguments in (call_for("approve", approval), call_for("reject", approval), ("ask-human", QUESTION)):
            hasty.desk.inbox.address = ADDRESS
            rounds = Rounds(client, name, arguments)
            await rounds.sent()
            hasty.desk.inbox.address = None
            for forged in FORGED:
                assert content(await rounds.answer(forged))["status"] == "pending"
            form = await rounds.ask()  # who calls again without an answer is shown a form then
            assert form.requested_schema["required"]
    assert hasty.rows()["decisions"] == 0


async def test_t16_the_state_of_a_form_is_none_of_a_page_when_an_inbox_has_come(rig: Rig) -> None:
    approval = await rig.opened()
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE, DECLINE)) as client:
        rounds = Rounds(client, *call_for("approve", approval))
        await rounds.ask()
        rig.desk.inbox.address = ADDRESS
        assert content(await rounds.answer(AGREE))["code"] == "invalid"
        assert rig.rows()["decisions"] == 0
        assert content(await rounds.answer(accept(decision="approve")))["status"] == "approved"


async def test_an_answer_without_its_state_sends_the_person_anew(paged: Rig) -> None:
    approval = await paged.opened()
    async with connect(paged.server.mcp, MODERN, person=Person(DECLINE, DECLINE)) as client:
        again = await client.session.call_tool(
            "approve",
            {"id": approval.id},
            input_responses={"answer": accept(decision="approve")},
            allow_input_required=True,
        )
    assert again.result_type == "input_required"
    assert await paged.status(approval.id) is Status.PENDING


async def test_t38_a_page_answered_again_gives_the_first_outcome(paged: Rig) -> None:
    approval = await paged.opened()
    async with connect(paged.server.mcp, MODERN, person=Person(DECLINE, DECLINE)) as client:
        rounds = Rounds(client, *call_for("approve", approval))
        assert (await rounds.sent()).url == page(approval)
        await paged.decide(approval.id, comment="yes")
        first = content(valid("approve", await rounds.answer(AGREE)))
        for again in (AGREE, DECLINE, CANCEL, accept(decision="reject")):
            assert content(await rounds.answer(again)) == first
        assert content(await rounds.retry()) == first
    assert first["status"] == "approved"
    assert paged.rows()["decisions"] == 1


async def test_who_calls_again_before_the_page_is_answered_is_sent_there_again(paged: Rig) -> None:
    async with connect(paged.server.mcp, MODERN, person=Person(DECLINE, DECLINE)) as client:
        rounds = Rounds(client, "ask-human", QUESTION)
        first, second = await rounds.sent(), await rounds.sent()
        assert first == second
        [waiting] = (await paged.desk.search.pending(paged.desk_principal)).approvals
        await paged.decide(waiting.id, answer={"answer": "now"})
        assert content(await rounds.retry())["answer"] == {"answer": "now"}


@pytest.mark.parametrize("verdict", [None, Verdict.REJECT])
async def test_a_page_is_come_back_from_after_a_restart(tmp_path: Path, verdict: Verdict | None) -> None:
    database = tmp_path / "hitl.db"
    async with a_rig(database) as before:
        before.desk.inbox.address = ADDRESS
        approval = await before.opened()
        async with connect(before.server.mcp, MODERN, person=Person(DECLINE, DECLINE)) as client:
            rounds = Rounds(client, *call_for("approve", approval))
            await rounds.sent()
        if verdict:
            await before.decide(approval.id, verdict)
    async with a_rig(database) as rig, connect(rig.server.mcp, MODERN, person=Person(DECLINE, DECLINE)) as client:
        results: list[Any] = []
        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:

                async def come_back() -> None:
                    results.append(content(await rounds.answer(AGREE, client=client)))

                tasks.start_soon(come_back)
                if verdict is None:
                    await rig.somebody_listens()
                    await rig.decide(approval.id, Verdict.REJECT)
    assert [result["status"] for result in results] == ["rejected"]


@every_protocol
async def test_t25_t32_beside_the_plain_address_stands_only_the_title_and_it_hides_nothing(
    paged: Rig, protocol: str
) -> None:
    said = "pay\u202eme\u200b\n\n# Approved [here](http://evil.example) " + "x" * 300
    person = Person(DECLINE, DECLINE)
    async with connect(paged.server.mcp, protocol, person=person) as client:
        asked = content(await client.call_tool("request-approval", {"title": said[:200], "details": {"a": said}}))
        await client.call_tool("approve", {"id": asked["id"], "comment": said})
        told = await client.call_tool("reject", {"id": asked["id"], "reason": said})
        question = content(await client.call_tool("ask-human", {"question": said}))
    assert text(told)
    assert [sent.url for sent in person.sent] == [asked["url"], asked["url"], question["url"]]
    for sent, approval in zip(person.sent, (asked, asked, question), strict=True):
        assert sent.url == f"{ADDRESS}/approvals/{approval['id']}"
        lead, blank, title = sent.message.split("\n")
        assert "agent" in lead and blank == ""
        assert title.startswith("    ") and "\\u202e" in title and "\\u200b" in title
        assert len(sent.message) < 400
