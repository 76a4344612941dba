"""increase-counter on every wire: what the person does with the form is what happens, once."""

import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from server.rig import GUARD_SECONDS, MODERN, OLDER, Pipes, Rig, Rounds, a_rig, pipes, post, reached, short_forms, valid
from wires import CANCEL, DECLINE, PROTOCOLS, TRANSPORTS, Person, accept, connect, content, text

from mcp_hitl.domain.approvals.approval import Status
from mcp_hitl.flows.counter import value_of

pytestmark = pytest.mark.anyio

every_wire = pytest.mark.parametrize(
    ("protocol", "transport"), [(protocol, transport) for protocol in PROTOCOLS for transport in TRANSPORTS]
)
CONFIRMED = {"confirm": True}


@every_wire
async def test_an_accepted_amount_is_counted(rig: Rig, target: Any, protocol: str) -> None:
    await rig.count(7)
    person = Person(accept(amount=5))
    async with connect(target, protocol, person=person) as client:
        result = valid("increase-counter", await client.call_tool("increase-counter", CONFIRMED))

    assert text(result) == "Counter increased by 5, now at 12"
    assert content(result) == {"counter": 12, "increased_by": 5}
    assert await rig.desk.read(value_of) == 12
    [form] = person.shown
    assert form.requested_schema == {
        "type": "object",
        "properties": {"amount": {"type": "number", "title": "Increase by"}},
        "required": ["amount"],
    }


@every_wire
async def test_decline_cancel_no_confirmation_and_an_answer_that_does_not_fit_count_nothing(
    rig: Rig, target: Any, protocol: str
) -> None:
    await rig.count(7)
    person = Person(DECLINE)
    async with connect(target, protocol, person=person) as client:
        for answer, confirm, said in (
            (DECLINE, True, "Declined."),
            (CANCEL, True, "Cancelled."),
            (accept(amount=5), False, "Cancelled."),
        ):
            person.answer, person.shown = answer, []
            result = valid("increase-counter", await client.call_tool("increase-counter", {"confirm": confirm}))
            assert (text(result), result.is_error) == (said, False)
            assert content(result) == {"counter": 7, "increased_by": 0}
            assert len(person.shown) == confirm
        before = rig.rows()
        for number, (given, mistake) in enumerate(UNFIT, start=1):
            person.answer = accept(**given)
            result = valid("increase-counter", await client.call_tool("increase-counter", CONFIRMED))
            assert (result.is_error, content(result)["code"]) == (True, "invalid")
            assert mistake in text(result), given
            assert "still pending" in text(result)
            assert "canary" not in text(result)
            opened = {table: before[table] + number for table in ("approvals", "audit")}
            assert rig.rows() == before | opened
    assert await rig.desk.read(value_of) == 7


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"amount": "5"}, "must be a number"),
    ({"amount": math.nan}, "number"),
    ({"amount": True}, "must be a number"),
    ({"amount": ["5"]}, "must be a number"),
    ({"amount": None}, "must be a number"),
    ({}, "lacks the field 'amount'"),
    ({"amount": 5, "canary": 1}, "not allowed"),
    ({"amount": 2**53}, "2^53"),
    ({"amount": 1.0000000000000002}, "15 significant digits"),
]


@every_wire
async def test_without_forms_the_question_waits_and_counts_once_when_answered(
    rig: Rig, target: Any, protocol: str
) -> None:
    async with connect(target, protocol) as client:
        result = valid("increase-counter", await client.call_tool("increase-counter", CONFIRMED))
        assert not result.is_error
        assert (content(result)["status"], content(result)["kind"]) == ("pending", "counter")
        question = content(result)["id"]
        assert question in text(result)

        await rig.decide(question, answer={"amount": 5})
        for _ in range(2):
            collected = await client.call_tool("wait-for-approval", {"id": question})
            assert content(collected)["status"] == "approved"
            assert content(collected)["answer"] == {"amount": 5}
            assert content(collected)["outcome"]["result"] == {"counter": 5, "increased_by": 5}
    assert await rig.desk.read(value_of) == 5


async def test_an_object_for_a_number_is_refused_on_the_newest_revision(rig: Rig) -> None:
    transport = "http"

    async with reached(rig, transport) as url:
        params: dict[str, Any] = {"name": "increase-counter", "arguments": CONFIRMED}
        asked = (await post(url, "tools/call", params, "increase-counter"))["result"]
        answered = params | {
            "requestState": asked["requestState"],
            "inputResponses": {"answer": {"action": "accept", "content": {"amount": {"deep": 5}}}},
        }
        refusal = await post(url, "tools/call", answered, "increase-counter")
    assert "error" in refusal or refusal["result"]["isError"]
    assert "Traceback" not in str(refusal)
    assert rig.rows() == {"approvals": 1, "decisions": 0, "audit": 1, "counter": "0"}


def _is_form(message: dict[str, Any]) -> bool:
    return message.get("method") == "elicitation/create"


@pytest.mark.parametrize("protocol", OLDER)
async def test_an_object_for_a_number_is_refused_on_the_older_revisions(rig: Rig, protocol: str) -> None:
    async with pipes(rig.database) as client:
        await client.shake_hands(protocol, elicitation={})
        call = await client.request("tools/call", name="increase-counter", arguments=CONFIRMED)
        form = await client.read_until(_is_form)
        await _reply(client, form["id"], {"amount": {"deep": 5}})
        refusal = (await client.result(call))["result"]
    assert refusal["isError"]
    assert refusal["structuredContent"]["code"] == "invalid"
    assert rig.rows() == {"approvals": 1, "decisions": 0, "audit": 1, "counter": "0"}


@pytest.mark.parametrize("protocol", OLDER)
async def test_an_answer_after_the_withdrawal_of_its_form_changes_nothing(rig: Rig, protocol: str) -> None:
    parameters = short_forms(rig.database)
    async with pipes(rig.database, [parameters.command, *parameters.args]) as client:
        await client.shake_hands(protocol, elicitation={})
        call = await client.request("tools/call", name="increase-counter", arguments=CONFIRMED)
        form = await client.read_until(_is_form)
        result = (await client.result(call))["result"]
        assert result["structuredContent"]["status"] == "pending"
        [withdrawal] = [m for m in client.seen if m.get("method") == "notifications/cancelled"]
        assert withdrawal["params"]["requestId"] == form["id"]

        await _reply(client, form["id"], {"amount": 5})
        seen = await client.call("get-approval", id=result["structuredContent"]["id"])
    assert seen["structuredContent"]["status"] == "pending"
    assert rig.rows()["counter"] == "0"


async def _reply(client: Pipes, form: int, given: dict[str, Any]) -> None:
    await client.write({"jsonrpc": "2.0", "id": form, "result": {"action": "accept", "content": given}})


@pytest.mark.parametrize("transport", ["memory", "http"])
@pytest.mark.parametrize("protocol", OLDER)
async def test_a_form_is_withdrawn_when_its_time_is_up_and_the_question_stays(
    hasty: Rig, protocol: str, transport: str
) -> None:

    withdrawn = anyio.Event()

    async def slow(_: ElicitRequestFormParams) -> ElicitResult:
        try:
            await anyio.sleep_forever()
        finally:
            withdrawn.set()
        raise AssertionError

    async with reached(hasty, transport) as target, connect(target, protocol, person=Person(slow)) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = valid("increase-counter", await client.call_tool("increase-counter", CONFIRMED))
            await withdrawn.wait()
        assert (result.is_error, content(result)["status"]) == (False, "pending")

        await hasty.decide(content(result)["id"], answer={"amount": 5})
        collected = await client.call_tool("wait-for-approval", {"id": content(result)["id"]})
        assert content(collected)["outcome"]["result"] == {"counter": 5, "increased_by": 5}
    await hasty.nobody_listens()


@pytest.mark.parametrize("transport", ["memory", "http", "stdio"])
async def test_t38_an_answer_posted_again_counts_once_and_gives_the_same_result(
    rig: Rig, target: Any, transport: str
) -> None:
    await rig.count(7)
    texts: list[str] = []
    async with connect(target, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, "increase-counter", CONFIRMED)
        await rounds.ask()

        async def post_it() -> None:
            texts.append(text(await rounds.answer(accept(amount=5))))

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(post_it)
        await post_it()
        late = await rounds.answer(accept(amount=100))
        declined = await rounds.answer(DECLINE)
    assert texts == ["Counter increased by 5, now at 12"] * 9
    assert text(late) == text(declined) == texts[0]
    assert rig.rows() | {"audit": 0} == {"approvals": 2, "decisions": 2, "audit": 0, "counter": "12"}


async def test_on_the_newest_revision_a_late_answer_counts_and_one_after_the_deadline_does_not(rig: Rig) -> None:
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        late, too_late = (Rounds(client, "increase-counter", CONFIRMED) for _ in range(2))
        await late.ask()
        await too_late.ask()
        rig.clock.ahead = timedelta(hours=23)
        assert text(await late.answer(accept(amount=5))) == "Counter increased by 5, now at 5"
        rig.clock.ahead = timedelta(hours=25)
        result = valid("increase-counter", await too_late.answer(accept(amount=5)))
    assert content(result)["status"] == "expired"
    assert await rig.desk.read(value_of) == 5


@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_on_the_newest_revision_an_answer_counts_after_a_restart_of_the_server(
    tmp_path: Path, transport: str
) -> None:

    database = tmp_path / "hitl.db"
    async with (
        a_rig(database) as rig,
        reached(rig, transport) as target,
        connect(target, MODERN, person=Person(DECLINE)) as client,
    ):
        rounds = Rounds(client, "increase-counter", CONFIRMED)
        await rounds.ask()
    async with (
        a_rig(database) as rig,
        reached(rig, transport) as target,
        connect(target, MODERN, person=Person(DECLINE)) as client,
    ):
        for _ in range(2):
            result = await rounds.answer(accept(amount=5), client=client)
            assert text(result) == "Counter increased by 5, now at 5"
        assert await rig.desk.read(value_of) == 5


def _flipped(state: str) -> str:
    middle = len(state) // 2
    return state[:middle] + ("A" if state[middle] != "A" else "B") + state[middle + 1 :]


def _cut(state: str) -> str:
    return state[:-4]


def _empty(_: str) -> str:
    return ""


def _unsealed(_: str) -> str:
    return '["apr_0",1,"sha256:0","n"]'


@pytest.mark.parametrize("forge", [_flipped, _cut, _empty, _unsealed])
async def test_a_forged_state_is_refused(rig: Rig, forge: Callable[[str], str]) -> None:
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, "increase-counter", CONFIRMED)
        await rounds.ask()
        before = rig.rows()
        assert rounds.state is not None
        rounds.state = forge(rounds.state)
        with pytest.raises(MCPError, match="requestState") as refusal:
            await rounds.answer(accept(amount=5))
    assert refusal.value.code == INVALID_PARAMS
    assert rig.rows() == before


async def test_a_state_under_another_spelling_of_its_name_is_not_taken_unsealed(rig: Rig) -> None:

    question = await rig.opened("counter", {})
    forged = f'["{question.id}",1,"{question.digest}","mine"]'
    async with reached(rig, "http") as url:
        params: dict[str, Any] = {
            "name": "increase-counter",
            "arguments": CONFIRMED,
            "request_state": forged,
            "inputResponses": {"answer": {"action": "accept", "content": {"amount": 5}}},
            "input_responses": {"answer": {"action": "accept", "content": {"amount": 5}}},
        }
        reply = await post(url, "tools/call", params, "increase-counter")
    assert reply["result"]["resultType"] == "input_required"
    assert await rig.status(question.id) is Status.PENDING
    assert await rig.desk.read(value_of) == 0


async def test_an_answer_without_the_state_of_its_form_is_not_believed(rig: Rig) -> None:
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        result = await client.session.call_tool(
            "increase-counter", CONFIRMED, input_responses={"answer": accept(amount=5)}, allow_input_required=True
        )
    assert isinstance(result, InputRequiredResult)
    assert await rig.desk.read(value_of) == 0


async def test_an_answer_to_something_else_than_a_form_is_refused(rig: Rig) -> None:
    async with reached(rig, "http") as url:
        params: dict[str, Any] = {"name": "increase-counter", "arguments": CONFIRMED}
        asked = (await post(url, "tools/call", params, "increase-counter"))["result"]
        roots: dict[str, Any] = {"roots": []}
        answered = params | {"requestState": asked["requestState"], "inputResponses": {"answer": roots}}
        refusal = (await post(url, "tools/call", answered, "increase-counter"))["result"]
    assert refusal["structuredContent"]["code"] == "invalid"
    assert rig.rows() == {"approvals": 1, "decisions": 0, "audit": 1, "counter": "0"}


async def test_a_state_without_an_answer_shows_the_same_question_again(rig: Rig) -> None:
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, "increase-counter", CONFIRMED)
        first = await rounds.ask()
        assert await rounds.ask() == first
        assert text(await rounds.answer(accept(amount=5))) == "Counter increased by 5, now at 5"
    assert rig.rows()["approvals"] == 1


async def test_a_counter_that_would_leave_what_numbers_can_hold_stays_where_it_is(rig: Rig) -> None:
    await rig.count(10**15)
    async with connect(rig.server.mcp, MODERN, person=Person(accept(amount=1))) as client:
        result = valid("increase-counter", await client.call_tool("increase-counter", CONFIRMED))
    assert (result.is_error, content(result)["code"]) == (True, "invalid")
    assert rig.rows()["counter"] == str(10**15)
