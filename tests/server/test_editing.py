"""edit-approval: the person reads the difference and the whole, and only what they agree to becomes a new revision."""

from typing import Any

import anyio
import pytest
from mcp_types import CallToolResult, ElicitRequestFormParams, ElicitResult
from server.rig import GUARD_SECONDS, INBOX, MODERN, OLDER, Rig, Rounds, refused, valid
from wires import CANCEL, DECLINE, PROTOCOLS, TRANSPORTS, Person, accept, connect, content, text

from mcp_hitl.domain.approvals.approval import Approval, Status
from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.policy.policy import Assurance, Verdict
from mcp_hitl.domain.policy.principal import LOOPBACK
from mcp_hitl.domain.values.canonical import JsonObject

pytestmark = pytest.mark.anyio

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
every_wire = pytest.mark.parametrize(
    ("protocol", "transport"), [(protocol, transport) for protocol in PROTOCOLS for transport in TRANSPORTS]
)
EDIT = "edit-approval"
DINNER: JsonObject = {"amount": 120.5, "currency": "EUR", "description": "Dinner", "category": "travel"}
CHEAPER: JsonObject = {"amount": 80, "currency": "EUR", "description": "Dinner"}


async def _edited(rig: Rig, approval: Approval, payload: JsonObject) -> Approval:
    """What somebody elsewhere makes of it."""
    return await rig.elsewhere.approvals.edit(LOOPBACK, Shown.of(approval), payload, assurance=Assurance.LOCAL)


@every_wire
async def test_the_form_shows_the_difference_and_the_whole_and_what_is_agreed_to_is_a_new_revision(
    rig: Rig, target: Any, protocol: str, transport: str
) -> None:
    approval = await rig.opened("expense", DINNER)
    person = Person(accept(decision="approve", comment="The wine was not ours."))
    async with connect(target, protocol, person=person) as client:
        arguments = {"id": approval.id, "payload": CHEAPER, "comment": "The wine was not ours."}
        result = valid(EDIT, await client.call_tool(EDIT, arguments))

    [form] = person.shown
    before, _, now = form.message.partition("The request now:")
    assert "    amount\n      before: 120.5\n      after:  80\n" in before
    assert '    category\n      before: "travel"\n      after:  (nothing)' in before
    then = before.partition("All of it, as it would be then:")[2]
    assert all(line in then for line in ('"amount": 80', '"currency": "EUR"', '"description": "Dinner"'))
    assert "category" not in then
    for name, value in DINNER.items():
        assert f'"{name}": ' in now and str(value) in now
    assert all(fact in now for fact in (approval.id, "revision 1", approval.digest, "The wine was not ours."))
    decision = form.requested_schema["properties"]["decision"]
    assert form.requested_schema["required"] == ["decision"] and "default" not in decision

    told = content(result)
    assert (result.is_error, told["status"], told["revision"], told["payload"]) == (False, "pending", 2, CHEAPER)
    assert told["digest"] != approval.digest and told["decisions"] == []
    [edit] = told["edits"]
    assert (edit["revision"], edit["comment"]) == (2, "The wine was not ours.")
    assert edit["changes"] == [
        {"field": "amount", "before": 120.5, "after": 80},
        {"field": "category", "before": "travel", "after": None},
    ]
    assert "edited it:\n    amount\n      before: 120.5\n      after:  80" in text(result)


@every_protocol
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (DECLINE, "closed the form without deciding"),
        (CANCEL, "closed the form without deciding"),
        (accept(decision="reject"), "left it as it is"),
    ],
    ids=["decline", "cancel", "reject"],
)
async def test_whoever_does_not_agree_leaves_it_as_it_is(
    rig: Rig, protocol: str, answer: ElicitResult, says: str
) -> None:
    approval = await rig.opened("expense", DINNER)
    before = rig.rows()
    async with connect(rig.server.mcp, protocol, person=Person(answer)) as client:
        result = valid(EDIT, await client.call_tool(EDIT, {"id": approval.id, "payload": CHEAPER}))
    assert (result.is_error, content(result)["status"], content(result)["payload"]) == (False, "pending", DINNER)
    assert content(result)["revision"] == 1 and says in text(result)
    assert rig.rows() == before


@every_protocol
async def test_a_choice_that_does_not_fit_changes_nothing(rig: Rig, protocol: str) -> None:
    approval = await rig.opened("expense", DINNER)
    before = rig.rows()
    person = Person(DECLINE)
    wrong: list[JsonObject] = [
        {},
        {"decision": "yes"},
        {"decision": True},
        {"decision": "approve", "payload": "x"},
        {"comment": "approve"},
    ]
    async with connect(rig.server.mcp, protocol, person=person) as client:
        for given in wrong:
            person.answer = accept(**given)
            await refused(client, EDIT, {"id": approval.id, "payload": CHEAPER}, "invalid")
            assert rig.rows() == before, given


@every_protocol
async def test_what_does_not_fit_the_kind_or_changes_nothing_is_refused_before_anybody_is_asked(
    rig: Rig, protocol: str
) -> None:
    approval = await rig.opened("expense", DINNER)
    before = rig.rows()
    person = Person(accept(decision="approve"))
    wrong: list[JsonObject] = [
        {},
        {"amount": 80},
        CHEAPER | {"amount": "80"},
        CHEAPER | {"amount": True},
        CHEAPER | {"amount": 0.001},
        CHEAPER | {"currency": "euro"},
        CHEAPER | {"approved": True},
        DINNER,
    ]
    async with connect(rig.server.mcp, protocol, person=person) as client:
        for payload in wrong:
            await refused(client, EDIT, {"id": approval.id, "payload": payload}, "invalid")
        await refused(client, EDIT, {"id": approval.id, "payload": CHEAPER, "comment": "x" * 2_001}, "invalid")
    assert person.shown == []
    assert rig.rows() == before


@every_protocol
async def test_without_forms_an_edit_needs_a_person_and_names_no_command(rig: Rig, protocol: str) -> None:
    approval = await rig.opened("expense", DINNER)
    before = rig.rows()
    async with connect(rig.server.mcp, protocol) as client:
        told = await refused(client, EDIT, {"id": approval.id, "payload": CHEAPER}, "needs_person")
    assert INBOX in told and " edit " not in told
    assert rig.rows() == before


@every_protocol
async def test_what_is_resolved_cannot_be_edited_and_nobody_is_asked(rig: Rig, protocol: str) -> None:
    person = Person(accept(decision="approve"))
    async with connect(rig.server.mcp, protocol, person=person) as client:
        for number, (verdict, word) in enumerate([(Verdict.APPROVE, "approved"), (Verdict.REJECT, "rejected")], 1):
            approval = await rig.opened("expense", DINNER | {"amount": number})
            await rig.decide(approval.id, verdict)
            told = await refused(client, EDIT, {"id": approval.id, "payload": CHEAPER}, "already_resolved")
            assert f"{approval.id} was {word} by local at " in told
    assert person.shown == []


async def test_t38_the_same_answered_form_posted_again_gives_the_first_outcome(rig: Rig) -> None:
    approval = await rig.opened("expense", DINNER)
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, EDIT, {"id": approval.id, "payload": CHEAPER})
        await rounds.ask()
        outcomes: list[CallToolResult] = []

        async def post_it() -> None:
            outcomes.append(valid(EDIT, await rounds.answer(accept(decision="approve"))))

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(post_it)
        once = rig.rows()
        assert all(content(outcome) == content(outcomes[0]) for outcome in outcomes)
        assert (content(outcomes[0])["revision"], content(outcomes[0])["payload"]) == (2, CHEAPER)
        late = content(await rounds.answer(accept(decision="reject")))
    assert (late["revision"], len(late["edits"])) == (2, 1)
    assert rig.rows() == once


async def test_t07_an_edit_of_what_was_edited_meanwhile_is_a_conflict(rig: Rig) -> None:
    approval = await rig.opened("expense", DINNER)
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, EDIT, {"id": approval.id, "payload": CHEAPER})
        await rounds.ask()
        await _edited(rig, approval, DINNER | {"amount": 500})
        before = rig.rows()
        stale = valid(EDIT, await rounds.answer(accept(decision="approve")))
    assert content(stale)["code"] == "conflict" and "edited after this was shown" in text(stale)
    assert (await rig.desk.approvals.get(LOOPBACK, approval.id)).payload == DINNER | {"amount": 500}
    assert rig.rows() == before


@every_protocol
async def test_t07_a_decision_on_what_was_edited_while_it_was_shown_does_not_count(rig: Rig, protocol: str) -> None:
    approval = await rig.opened("expense", DINNER)

    async def slow(_: ElicitRequestFormParams) -> ElicitResult:
        await _edited(rig, approval, DINNER | {"amount": 9_999})
        return accept(decision="approve")

    async with connect(rig.server.mcp, protocol, person=Person(slow)) as client:
        told = await refused(client, "approve", {"id": approval.id}, "conflict")
        assert "edited after this was shown" in told
        assert await rig.status(approval.id) is Status.PENDING
        person = Person(accept(decision="approve"))
        async with connect(rig.server.mcp, protocol, person=person) as again:
            approved = await again.call_tool("approve", {"id": approval.id})
    assert (
        "Revision 2, by local, changed:\n\n    amount\n      before: 120.5\n      after:  9999"
        in person.shown[0].message
    )
    assert (content(approved)["status"], content(approved)["payload"]["amount"]) == ("approved", 9_999)


@pytest.mark.parametrize("protocol", OLDER)
async def test_a_decision_made_elsewhere_closes_the_form_of_an_edit(rig: Rig, protocol: str) -> None:
    approval = await rig.opened("expense", DINNER)

    async def elsewhere(_: ElicitRequestFormParams) -> ElicitResult:
        await rig.decide(approval.id)
        await anyio.sleep_forever()
        raise AssertionError

    async with connect(rig.server.mcp, protocol, person=Person(elsewhere)) as client:
        with anyio.fail_after(GUARD_SECONDS):
            told = await refused(client, EDIT, {"id": approval.id, "payload": CHEAPER}, "already_resolved")
    assert "was approved by local" in told


async def test_t25_what_deceives_the_eye_is_escaped_in_the_form_of_an_edit(rig: Rig) -> None:
    approval = await rig.opened(payload={"to": "ana"})
    person = Person(DECLINE)
    async with connect(rig.server.mcp, MODERN, person=person) as client:
        payload = {"to": "bo\u202e\u200b", "# Approved\n\u2066": None}
        arguments = {"id": approval.id, "payload": payload, "comment": "a\u202eb\x1b"}
        await client.call_tool(EDIT, arguments)
    [form] = person.shown
    assert not any(trick in form.message for trick in "\u202e\u200b\u2066\x1b")
    assert form.message.count("\\u202e") == 3
    assert all(line.startswith("    ") for line in form.message.splitlines() if "# Approved" in line)


@every_protocol
async def test_t34_the_reason_that_an_agent_gives_for_an_edit_is_not_the_persons(rig: Rig, protocol: str) -> None:
    person = Person(accept(decision="approve"))
    async with connect(rig.server.mcp, protocol, person=person) as client:
        for given, kept in (({}, None), ({"comment": "mine"}, "mine")):
            approval = await rig.opened("expense", DINNER | {"description": f"Dinner, {kept}"})
            person.answer = accept(decision="approve", **given)
            arguments = {"id": approval.id, "payload": CHEAPER, "comment": "the agent's words"}
            result = valid(EDIT, await client.call_tool(EDIT, arguments))
            [edit] = content(result)["edits"]
            assert edit["comment"] == kept
    for form in person.shown:
        assert "The agent's reason" in form.message and "    the agent's words" in form.message
        if protocol != "2025-06-18":
            assert form.requested_schema["properties"]["comment"]["default"] == "the agent's words"
