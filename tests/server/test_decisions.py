"""approve and reject: the person reads everything, chooses in a form, and only that counts."""

from datetime import timedelta
from typing import Any

import anyio
import pytest
from mcp_types import ElicitRequestFormParams, ElicitResult
from server.rig import GUARD_SECONDS, INBOX, MODERN, OLDER, Rig, Rounds, refused, valid
from wires import CANCEL, DECLINE, PROTOCOLS, TRANSPORTS, Person, accept, connect, content, text

from mcp_hitl.desk.transactions.decide import MAX_COMMENT
from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK, Established, Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.flows.counter import value_of

pytestmark = pytest.mark.anyio

every_wire = pytest.mark.parametrize(
    ("protocol", "transport"), [(protocol, transport) for protocol in PROTOCOLS for transport in TRANSPORTS]
)
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
DINNER: JsonObject = {"amount": 120.5, "currency": "EUR", "description": "Dinner", "category": "travel"}


def _call(tool: str, approval: Approval, words: str | None = None) -> tuple[str, JsonObject]:
    said = {} if words is None else {"comment" if tool == "approve" else "reason": words}
    return tool, {"id": approval.id, **said}


@every_wire
async def test_the_form_shows_everything_and_what_the_person_chooses_counts(
    rig: Rig, target: Any, protocol: str
) -> None:
    person = Person(accept(decision="approve", comment="Enjoy"))
    approval = await rig.opened("expense", DINNER)
    async with connect(target, protocol, person=person) as client:
        result = valid("approve", await client.call_tool("approve", {"id": approval.id}))

    [form] = person.shown
    for fact in ("expense", "Expense: 120.50 EUR for Dinner", "an agent on this machine", approval.id, approval.digest):
        assert fact in form.message
    for name, value in DINNER.items():
        assert f'"{name}": ' in form.message
        assert str(value) in form.message
    decision = form.requested_schema["properties"]["decision"]
    assert form.requested_schema["required"] == ["decision"]
    assert "default" not in decision
    assert "default" not in form.requested_schema["properties"]["comment"]
    assert (decision.get("enum") or [option["const"] for option in decision["oneOf"]]) == ["approve", "reject"]

    assert not result.is_error
    assert content(result)["status"] == "approved"
    [decided] = content(result)["decisions"]
    assert (decided["verdict"], decided["comment"], decided["assurance"]) == ("approve", "Enjoy", "local")
    assert "“Enjoy” (a person's own words, not instructions)" in text(result)


@every_protocol
async def test_the_person_and_the_agent_read_the_fields_in_the_order_that_the_agent_sent(
    rig: Rig, protocol: str
) -> None:
    person = Person(DECLINE)
    mail: JsonObject = {"to": "ana", "mail": {"subject": "Hi", "body": "…"}, "cc": []}
    async with connect(rig.server.mcp, protocol, person=person) as client:
        asked = await client.call_tool("request-approval", {"title": "Send a mail", "details": mail})
        held = await client.call_tool("get-approval", {"id": content(asked)["id"]})
        await client.call_tool("approve", {"id": content(asked)["id"]})
    names = ["to", "mail", "cc"]
    assert [list(content(result)["payload"]) for result in (asked, held)] == [names, names]
    assert list(content(held)["payload"]["mail"]) == ["subject", "body"]
    [*_, form] = person.shown
    places = [form.message.index(f'"{name}": ') for name in ("to", "mail", "subject", "body", "cc")]
    assert places == sorted(places)


@every_protocol
@pytest.mark.parametrize("tool", ["approve", "reject"])
async def test_closing_the_form_changes_nothing(rig: Rig, protocol: str, tool: str) -> None:
    approval = await rig.opened("expense", DINNER)
    before = rig.rows()
    for answer in (DECLINE, CANCEL):
        async with connect(rig.server.mcp, protocol, person=Person(answer)) as client:
            result = valid(tool, await client.call_tool(*_call(tool, approval, "so")))
        assert (result.is_error, content(result)["status"]) == (False, "pending")
        assert "closed the form without deciding" in text(result)
    assert rig.rows() == before


@every_protocol
@pytest.mark.parametrize(
    ("tool", "chosen", "status"), [("approve", "reject", "rejected"), ("reject", "approve", "approved")]
)
async def test_the_person_may_choose_the_opposite_of_what_the_agent_proposes(
    rig: Rig, protocol: str, tool: str, chosen: str, status: str
) -> None:
    approval = await rig.opened("expense", DINNER)
    async with connect(rig.server.mcp, protocol, person=Person(accept(decision=chosen))) as client:
        result = valid(tool, await client.call_tool(*_call(tool, approval, "the agent's words")))
    assert content(result)["status"] == status
    [decided] = content(result)["decisions"]
    assert (decided["verdict"], decided["comment"]) == (chosen, None)
    assert "the agent's words" not in text(result)


@every_protocol
async def test_t34_a_proposed_comment_is_shown_and_only_what_the_person_sends_is_recorded_as_theirs(
    rig: Rig, protocol: str
) -> None:
    person = Person(DECLINE)
    async with connect(rig.server.mcp, protocol, person=person) as client:
        answers: list[tuple[JsonObject, str | None]] = [
            ({}, None),
            ({"comment": "own"}, "own"),
            ({"comment": "proposed"}, "proposed"),
        ]
        for number, (given, kept) in enumerate(answers):
            approval = await rig.opened(payload={"number": number})
            person.answer = accept(decision="reject", **given)
            result = valid("reject", await client.call_tool("reject", {"id": approval.id, "reason": "proposed"}))
            [decided] = content(result)["decisions"]
            assert decided["comment"] == kept
            assert ("a person's own words" in text(result)) == (kept is not None)
    for form in person.shown:
        assert "The agent proposes to reject it with this comment" in form.message
        assert "    proposed" in form.message
        if protocol != "2025-06-18":
            assert form.requested_schema["properties"]["comment"]["default"] == "proposed"


@every_protocol
async def test_a_choice_that_does_not_fit_is_refused_and_the_approval_stays_pending(rig: Rig, protocol: str) -> None:
    approval = await rig.opened("expense", DINNER)
    before = rig.rows()
    person = Person(DECLINE)
    async with connect(rig.server.mcp, protocol, person=person) as client:
        for given in (
            {},
            {"decision": "yes"},
            {"decision": True},
            {"decision": None},
            {"comment": "no decision"},
            {"decision": "approve", "comment": "x" * (MAX_COMMENT + 1)},
            {"decision": "approve", "comment": 7},
            {"decision": "approve", "comment": "a\0b"},
            {"decision": "approve", "surprise": "x"},
        ):
            person.answer = accept(**given)
            await refused(client, "approve", {"id": approval.id}, "invalid")
            assert rig.rows() == before, given
    assert await rig.status(approval.id) is Status.PENDING


@every_protocol
async def test_without_forms_the_call_needs_a_person_and_names_no_command_that_decides(rig: Rig, protocol: str) -> None:
    approval = await rig.opened("expense", DINNER)
    before = rig.rows()
    async with connect(rig.server.mcp, protocol) as client:
        for tool in ("approve", "reject"):
            told = await refused(client, *_call(tool, approval, "so"), "needs_person")
            assert INBOX in told
            for deciding in ("mcp-hitl approve", "mcp-hitl reject", "approve apr_", "reject apr_", "--yes"):
                assert deciding not in told
    assert rig.rows() == before


@every_protocol
@pytest.mark.parametrize("tool", ["approve", "reject"])
async def test_what_is_resolved_already_says_who_and_when_without_asking(rig: Rig, protocol: str, tool: str) -> None:
    person = Person(accept(decision="approve"))
    async with connect(rig.server.mcp, protocol, person=person) as client:
        for verdict, word in ((Verdict.APPROVE, "approved"), (Verdict.REJECT, "rejected")):
            approval = await rig.opened(payload={"word": word})
            decided = await rig.decide(approval.id, verdict)
            assert decided.resolved_at is not None
            told = await refused(client, *_call(tool, approval, "so"), "already_resolved")
            assert f"{approval.id} was {word} by local at {decided.resolved_at:%Y-%m-%dT%H:%M:}" in told

        cancelled = await rig.opened(payload={"word": "cancelled"})
        await rig.desk.approvals.cancel(LOOPBACK, cancelled.id)
        assert "was cancelled at" in await refused(client, *_call(tool, cancelled, "so"), "already_resolved")

        overdue = await rig.opened(payload={"word": "overdue"})
        rig.clock.ahead = timedelta(days=8)
        assert "was expired at" in await refused(client, *_call(tool, overdue, "so"), "already_resolved")
    assert person.shown == []


@pytest.mark.parametrize("protocol", OLDER)
async def test_a_decision_made_elsewhere_closes_the_open_form(rig: Rig, protocol: str) -> None:
    approval = await rig.opened("expense", DINNER)
    withdrawn = anyio.Event()

    async def elsewhere(_: ElicitRequestFormParams) -> ElicitResult:
        try:  # the form may be closed before the decision's own call has returned
            await rig.decide(approval.id, Verdict.REJECT)
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            withdrawn.set()
            raise
        raise AssertionError

    async with connect(rig.server.mcp, protocol, person=Person(elsewhere)) as client:
        with anyio.fail_after(GUARD_SECONDS):
            told = await refused(client, "approve", {"id": approval.id}, "already_resolved")
            await withdrawn.wait()
    assert "was rejected by local" in told


@pytest.mark.parametrize("protocol", OLDER)
async def test_a_form_that_nobody_answers_is_withdrawn_and_the_approval_stays_pending(
    hasty: Rig, protocol: str
) -> None:
    approval = await hasty.opened("expense", DINNER)

    async def never(_: ElicitRequestFormParams) -> ElicitResult:
        await anyio.sleep_forever()
        raise AssertionError

    async with connect(hasty.server.mcp, protocol, person=Person(never)) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = valid("approve", await client.call_tool("approve", {"id": approval.id}))
    assert (result.is_error, content(result)["status"]) == (False, "pending")
    assert "has not decided yet" in text(result)


async def test_t38_the_same_answered_form_posted_again_gives_the_first_outcome(rig: Rig) -> None:
    approval = await rig.opened("expense", DINNER)
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, *_call("approve", approval))
        await rounds.ask()
        outcomes: list[Any] = []

        async def post_it() -> None:
            outcomes.append(content(await rounds.answer(accept(decision="approve", comment="yes"))))

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(post_it)
        other = await rounds.answer(accept(decision="reject"))
    assert [outcome["status"] for outcome in outcomes] == ["approved"] * 6
    assert all(outcome == outcomes[0] for outcome in outcomes)
    # Whoever said the opposite on it must not believe that it counted.
    assert (content(other)["code"], "was answered already" in text(other)) == ("conflict", True)
    assert rig.rows()["decisions"] == 1


async def test_t38_a_form_answered_after_somebody_else_decided_is_told_so(rig: Rig) -> None:
    approval = await rig.opened("expense", DINNER)
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, *_call("approve", approval))
        await rounds.ask()
        await rig.decide(approval.id, Verdict.REJECT)
        before = rig.rows()
        stale = valid("approve", await rounds.answer(accept(decision="approve")))
        closed = valid("approve", await rounds.answer(DECLINE))
    assert content(stale)["code"] == "already_resolved"
    assert "was rejected by local at" in text(stale)
    assert content(closed)["status"] == "rejected"
    assert rig.rows() == before


async def test_two_open_forms_on_one_approval_give_one_decision(rig: Rig) -> None:
    approval = await rig.opened("expense", DINNER)
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        first, second = Rounds(client, *_call("approve", approval)), Rounds(client, *_call("reject", approval, "no"))
        await first.ask()
        await second.ask()
        assert content(await first.answer(accept(decision="approve")))["status"] == "approved"
        assert content(await second.answer(accept(decision="reject")))["code"] == "already_resolved"
    assert rig.rows()["decisions"] == 1


@every_protocol
async def test_a_question_can_be_answered_through_approve_with_its_fields_in_the_form(rig: Rig, protocol: str) -> None:
    form = {
        "properties": {
            "day": {"type": "string", "enum": ["mon", "tue"]},
            "decision": {"type": "string", "title": "Which decision"},
            "comment": {"type": "number"},
        },
        "required": ["day", "decision"],
    }
    question = await rig.opened("question", {"question": "When?", "form": form})
    person = Person(accept(decision="approve", comment="mine", day="mon", answer_decision="theirs", answer_comment=3))
    async with connect(rig.server.mcp, protocol, person=person) as client:
        result = valid("approve", await client.call_tool("approve", {"id": question.id}))
    [shown] = person.shown
    assert list(shown.requested_schema["properties"]) == [
        "decision",
        "comment",
        "day",
        "answer_decision",
        "answer_comment",
    ]
    assert shown.requested_schema["properties"]["answer_decision"]["title"] == "Which decision"
    assert shown.requested_schema["required"] == ["decision"]
    assert content(result)["answer"] == {"day": "mon", "decision": "theirs", "comment": 3}
    assert content(result)["decisions"][0]["comment"] == "mine"


@every_protocol
async def test_approving_a_question_needs_its_answer_and_rejecting_it_does_not(rig: Rig, protocol: str) -> None:
    person = Person(accept(decision="approve"))
    question = await rig.opened("question", {"question": "When?"})
    async with connect(rig.server.mcp, protocol, person=person) as client:
        told = await refused(client, "approve", {"id": question.id}, "invalid")
        assert "'answer'" in told
        person.answer = accept(decision="reject", answer="half an answer")
        result = await client.call_tool("approve", {"id": question.id})
    assert (content(result)["status"], content(result)["answer"]) == ("rejected", None)


async def test_a_field_of_the_question_that_is_named_like_a_renamed_one_keeps_its_own_value(rig: Rig) -> None:
    form = {
        "properties": {
            "decision": {"type": "string"},
            "answer_decision": {"type": "string"},
        },
        "required": ["decision", "answer_decision"],
    }
    question = await rig.opened("question", {"question": "So?", "form": form})
    person = Person(DECLINE)
    async with connect(rig.server.mcp, MODERN, person=person) as client:
        await client.call_tool("approve", {"id": question.id})
        [shown] = person.shown
        names = [name for name in shown.requested_schema["properties"] if name not in ("decision", "comment")]
        assert len(names) == 2
        person.answer = accept(decision="approve", **dict(zip(names, ("one", "two"), strict=True)))
        result = await client.call_tool("approve", {"id": question.id})
    assert content(result)["answer"] == {"decision": "one", "answer_decision": "two"}


async def test_a_counter_that_waits_can_be_answered_through_approve(rig: Rig) -> None:
    question = await rig.opened("counter", {})
    async with connect(rig.server.mcp, MODERN, person=Person(accept(decision="approve", amount=5))) as client:
        result = valid("approve", await client.call_tool("approve", {"id": question.id}))
    assert content(result)["outcome"]["result"] == {"counter": 5, "increased_by": 5}
    assert await rig.desk.read(value_of) == 5


@every_protocol
async def test_several_choices_on_the_oldest_revision_leave_approve_undecided(rig: Rig, protocol: str) -> None:
    form = {"properties": {"days": {"type": "array", "items": {"enum": ["mon", "tue"]}}}, "required": ["days"]}
    question = await rig.opened("question", {"question": "Which?", "form": form})
    person = Person(accept(decision="approve", days=["tue"]))
    async with connect(rig.server.mcp, protocol, person=person) as client:
        result = valid("approve", await client.call_tool("approve", {"id": question.id}))
    if protocol == "2025-06-18":
        assert (content(result)["code"], person.shown) == ("needs_person", [])
    else:
        assert content(result)["answer"] == {"days": ["tue"]}


async def test_who_decides_is_the_connection_and_never_an_argument(rig: Rig) -> None:
    approval = await rig.opened("expense", DINNER)
    server = rig.serving_as(Principal("os:ana", Established.OS_USER))
    async with connect(server.mcp, MODERN, person=Person(accept(decision="approve"))) as client:
        await refused(client, "approve", {"id": approval.id, "approver": "os:bo"}, "invalid")
        result = await client.call_tool("approve", {"id": approval.id})
    assert content(result)["decisions"][0]["approver"] == "os:ana"
    assert content(result)["requested_by"] == "local"
