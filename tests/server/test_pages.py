"""Where the client opens pages and there is an inbox, the person is sent there, and the call goes on after that."""

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest
from mcp_types import CallToolResult, ElicitRequestURLParams, ElicitResult
from server.pages import ADDRESS, WITH_PAGES, Ear, call_for, page, with_pages
from server.rig import GUARD_SECONDS, MODERN, OLDER, Rig, a_rig, refused, valid
from wires import AGREE, CANCEL, DECLINE, Person, connect, content, text

from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK

pytestmark = pytest.mark.anyio

every_protocol = pytest.mark.parametrize("protocol", WITH_PAGES)
every_wire = pytest.mark.parametrize(
    ("protocol", "transport"), [(one, other) for one in WITH_PAGES for other in ("memory", "http", "stdio")]
)
older = pytest.mark.parametrize("transport", ["memory", "http", "stdio"])
OLD = OLDER[-1]
UNANSWERED = "The person has not answered on its page yet."
UNVISITED = "The person did not go to its page; nothing was decided."


@pytest.fixture
async def target(rig: Rig, transport: str) -> AsyncGenerator[Any]:
    """What a client connects to, of a server that knows of an inbox."""
    async with with_pages(rig, transport) as target:
        yield target


@every_wire
@pytest.mark.parametrize(("tool", "verdict"), [("approve", Verdict.APPROVE), ("reject", Verdict.REJECT)])
async def test_the_person_is_sent_to_the_page_and_what_they_decide_there_is_the_result(
    rig: Rig, target: Any, protocol: str, tool: str, verdict: Verdict
) -> None:
    approval = await rig.opened("expense", {"amount": 5, "description": "Taxi", "currency": "USD"})

    async def at_the_page(_: ElicitRequestURLParams) -> ElicitResult:
        await rig.decide(approval.id, verdict, comment="seen")
        return AGREE

    person = Person(DECLINE, at_the_page)
    async with connect(target, protocol, person=person) as client:
        result = valid(tool, await client.call_tool(*call_for(tool, approval)))
    assert not result.is_error
    assert content(result)["status"] == ("approved" if tool == "approve" else "rejected")
    assert content(result)["decisions"][0]["comment"] == "seen"
    [sent] = person.sent
    assert sent.url == page(approval)
    assert sent.message.splitlines() == [
        "An AI agent asks you to decide on this. Its page shows you all of it, and you decide there:",
        "",
        "    Expense: 5 USD for Taxi",
    ]
    assert (sent.elicitation_id is None) == (protocol == MODERN)
    assert person.shown == []


@every_wire
async def test_a_question_is_answered_on_its_page(rig: Rig, target: Any, protocol: str) -> None:
    async def at_the_page(_: ElicitRequestURLParams) -> ElicitResult:
        [waiting] = (await rig.elsewhere.search.pending(LOOPBACK)).approvals
        await rig.decide(waiting.id, answer={"answer": "On Monday"})
        return AGREE

    person = Person(DECLINE, at_the_page)
    async with connect(target, protocol, person=person) as client:
        result = valid("ask-human", await client.call_tool("ask-human", {"question": "When?"}))
    assert (content(result)["status"], content(result)["answer"]) == ("approved", {"answer": "On Monday"})
    [sent] = person.sent
    assert sent.url == f"{ADDRESS}/approvals/{content(result)['id']}"
    assert sent.message.splitlines() == [
        "An AI agent asks you a question. You can answer it on its page:",
        "",
        "    When?",
    ]


async def _decided_after_agreeing(rig: Rig, target: Any, protocol: str, approval: Approval, **options: Any) -> Any:
    """Call approve, agree to go to the page, and decide there when the call waits for it."""
    agreed = anyio.Event()

    def agree(_: ElicitRequestURLParams) -> ElicitResult:
        agreed.set()
        return AGREE

    results: list[CallToolResult] = []
    async with connect(target, protocol, person=Person(DECLINE, agree), **options) as client:
        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:

                async def approve() -> None:
                    results.append(valid("approve", await client.call_tool("approve", {"id": approval.id})))

                tasks.start_soon(approve)
                await agreed.wait()
                if target is rig.server.mcp:
                    await rig.somebody_listens()
                await rig.decide(approval.id)
    return content(results[0])


@every_wire
async def test_the_call_waits_for_a_decision_that_comes_after_the_client_has_answered(
    rig: Rig, target: Any, protocol: str
) -> None:
    approval = await rig.opened()
    assert (await _decided_after_agreeing(rig, target, protocol, approval))["status"] == "approved"


@older
async def test_the_client_is_told_once_that_its_page_was_answered(rig: Rig, target: Any, transport: str) -> None:
    ear = Ear()
    await _decided_after_agreeing(rig, target, OLD, await rig.opened(), on_message=ear)
    assert await ear.once()


@older
async def test_a_decision_on_the_page_closes_the_request_that_the_client_has_not_answered(
    rig: Rig, target: Any, transport: str
) -> None:
    approval = await rig.opened()
    withdrawn = anyio.Event()

    async def at_the_page(_: ElicitRequestURLParams) -> ElicitResult:
        try:  # the page may be closed before the decision's own call has returned
            await rig.decide(approval.id)
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            withdrawn.set()
            raise
        raise AssertionError

    ear, person = Ear(), Person(DECLINE, at_the_page)
    async with connect(target, OLD, person=person, on_message=ear) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = valid("approve", await client.call_tool("approve", {"id": approval.id}))
            await withdrawn.wait()
        assert await ear.once() == person.sent[0].elicitation_id
    assert content(result)["status"] == "approved"


@every_protocol
@pytest.mark.parametrize("tool", ["approve", "reject"])
async def test_a_page_that_nobody_answers_leaves_the_approval_pending(hasty: Rig, protocol: str, tool: str) -> None:
    hasty.desk.inbox.address = ADDRESS
    approval = await hasty.opened()
    before, ear = hasty.rows(), Ear()
    async with connect(hasty.server.mcp, protocol, person=Person(DECLINE, AGREE), on_message=ear) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = valid(tool, await client.call_tool(*call_for(tool, approval)))
            question = valid("ask-human", await client.call_tool("ask-human", {"question": "When?"}))
    for one in (result, question):
        assert (one.is_error, content(one)["status"]) == (False, "pending")
        assert text(one).startswith(UNANSWERED)
        assert f"on its page {content(one)['url']}" in content(one)["next"]
    assert hasty.rows()["decisions"] == before["decisions"] == 0
    assert ear.completed == []
    await hasty.nobody_listens()


async def test_a_page_that_the_client_never_answers_for_is_withdrawn_when_its_time_is_up(hasty: Rig) -> None:
    hasty.desk.inbox.address = ADDRESS
    withdrawn = anyio.Event()

    async def never(_: ElicitRequestURLParams) -> ElicitResult:
        try:
            await anyio.sleep_forever()
        finally:
            withdrawn.set()
        raise AssertionError

    async with connect(hasty.server.mcp, OLD, person=Person(DECLINE, never)) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = await client.call_tool("approve", {"id": (await hasty.opened()).id})
            await withdrawn.wait()
    assert text(result).startswith(UNANSWERED)


@every_protocol
@pytest.mark.parametrize("answer", [DECLINE, CANCEL], ids=["decline", "cancel"])
async def test_who_does_not_go_to_the_page_decides_nothing_and_a_question_stays_too(
    paged: Rig, protocol: str, answer: ElicitResult
) -> None:
    approval = await paged.opened()
    async with connect(paged.server.mcp, protocol, person=Person(AGREE, answer)) as client:
        results = [await client.call_tool(*call_for(tool, approval)) for tool in ("approve", "reject")]
        results.append(valid("ask-human", await client.call_tool("ask-human", {"question": "When?"})))
    for result in results:
        assert (result.is_error, content(result)["status"]) == (False, "pending")
        assert text(result).startswith(UNVISITED)
    assert paged.rows()["decisions"] == 0
    await paged.nobody_listens()


PAIR = '[kinds.action]\nstages = [{ approvers = ["local", "os:bo"], quorum = 2 }]\n'


@every_protocol
async def test_one_decision_of_two_ends_the_call_and_the_approval_stays_pending(tmp_path: Any, protocol: str) -> None:
    async with a_rig(tmp_path / "hitl.db", policy=PAIR) as rig:
        rig.desk.inbox.address = ADDRESS
        approval = await rig.opened()
        ear = Ear()
        got = await _decided_after_agreeing(rig, rig.server.mcp, protocol, approval, on_message=ear)
        assert (got["status"], got["quorum"]) == ("pending", {"needed": 2, "approved": 1, "rejected": 0})
        assert len(ear.completed) == (protocol == OLD)


@every_protocol
@pytest.mark.parametrize(("change", "told"), [("edit", ("pending", 2)), ("cancel", ("cancelled", 1))])
async def test_an_edit_or_a_cancellation_meanwhile_ends_the_call_too(
    paged: Rig, protocol: str, change: str, told: tuple[str, int]
) -> None:
    approval = await paged.opened()
    async with connect(paged.server.mcp, protocol, person=Person(DECLINE, AGREE)) as client:
        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:

                async def approve() -> None:
                    result = valid("approve", await client.call_tool("approve", {"id": approval.id}))
                    assert (content(result)["status"], content(result)["revision"]) == told

                tasks.start_soon(approve)
                await paged.somebody_listens()
                if change == "cancel":
                    await paged.elsewhere.approvals.cancel(LOOPBACK, approval.id)
                else:
                    await paged.elsewhere.approvals.edit(
                        LOOPBACK, Shown.of(approval), {"do": "less"}, assurance=Assurance.LOCAL
                    )


@every_protocol
async def test_what_is_resolved_already_sends_nobody_anywhere(paged: Rig, protocol: str) -> None:
    approval = await paged.opened()
    await paged.decide(approval.id)
    question = await paged.opened("question", {"question": "When?"}, dedup_key="k")
    await paged.decide(question.id, answer={"answer": "now"})
    person = Person(DECLINE, AGREE)
    async with connect(paged.server.mcp, protocol, person=person) as client:
        await refused(client, "approve", {"id": approval.id}, "already_resolved")
        asked = await client.call_tool("ask-human", {"question": "When?", "dedup_key": "k"})
    assert content(asked)["answer"] == {"answer": "now"}
    assert person.sent == []


@every_protocol
async def test_a_stop_ends_the_wait_for_a_page(paged: Rig, protocol: str) -> None:
    approval = await paged.opened()
    async with connect(paged.server.mcp, protocol, person=Person(DECLINE, AGREE)) as client:
        with anyio.fail_after(GUARD_SECONDS):
            async with anyio.create_task_group() as tasks:

                async def approve() -> None:
                    result = valid("approve", await client.call_tool("approve", {"id": approval.id}))
                    assert text(result).startswith(UNANSWERED)

                tasks.start_soon(approve)
                await paged.somebody_listens()
                paged.server.stop()


@every_protocol
async def test_waiting_for_a_page_reports_progress(paged: Rig, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_hitl.desk.approvals.TICK_SECONDS", 0.01)
    approval = await paged.opened()
    told: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)
        if len(told) == 3:
            await paged.decide(approval.id)

    async with connect(paged.server.mcp, protocol, person=Person(DECLINE, AGREE)) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = await client.call_tool("approve", {"id": approval.id}, progress_callback=note)
    assert content(result)["status"] == "approved"
