"""ask-human: every form that the specification allows, on every revision, and what becomes of the question."""

from typing import Any

import anyio
import pytest
from mcp_types import ElicitRequestFormParams, ElicitResult
from server.rig import GUARD_SECONDS, MODERN, OLDER, Rig, Rounds, pipes, reached, refused, valid
from wires import CANCEL, DECLINE, PROTOCOLS, TRANSPORTS, Person, accept, connect, content, text

from mcp_hitl.domain.policy.forms import define
from mcp_hitl.domain.policy.policy import Verdict
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.server.tools.decisions import OUR_FORM
from mcp_hitl.server.tools.edits import EDIT_FORM

pytestmark = pytest.mark.anyio

every_wire = pytest.mark.parametrize(
    ("protocol", "transport"), [(protocol, transport) for protocol in PROTOCOLS for transport in TRANSPORTS]
)
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)

SIZES = [{"const": "s", "title": "Small"}, {"const": "l", "title": "Large"}]
SIZES_SHOWN = [{"const": "s", "title": "Small [s]"}, {"const": "l", "title": "Large [l]"}]
EVERYTHING: JsonObject = {
    "properties": {
        "name": {"type": "string", "title": "Name", "minLength": 2, "maxLength": 20, "default": "Ana"},
        "mail": {"type": "string", "format": "email"},
        "site": {"type": "string", "format": "uri"},
        "day": {"type": "string", "format": "date"},
        "moment": {"type": "string", "format": "date-time"},
        "share": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5},
        "people": {"type": "integer", "minimum": 1, "description": "How many come"},
        "sure": {"type": "boolean", "default": True},
        "size": {"type": "string", "oneOf": SIZES, "default": "l"},
        "colour": {"type": "string", "enum": ["red", "blue"]},
        "old": {"type": "string", "enum": ["x", "y"], "enumNames": ["Ex", "Why"]},
    },
    "required": ["people"],
}
SEVERAL: JsonObject = {
    "properties": {
        "days": {"type": "array", "items": {"type": "string", "enum": ["mon", "tue"]}, "minItems": 1, "maxItems": 2},
        "sizes": {"type": "array", "title": "Sizes", "items": {"anyOf": SIZES}, "default": ["s"]},
    }
}
FILLED: JsonObject = {
    "name": "Bo",
    "mail": "bo@example.com",
    "site": "https://example.com/",
    "day": "2026-11-22",
    "moment": "2026-11-22T12:00:00Z",
    "share": 0.25,
    "people": 3,
    "sure": False,
    "size": "s",
    "colour": "red",
    "old": "y",
}


@every_wire
async def test_a_question_is_answered_in_free_text(rig: Rig, target: Any, protocol: str) -> None:
    person = Person(accept(answer="On Monday"))
    async with connect(target, protocol, person=person) as client:
        result = valid("ask-human", await client.call_tool("ask-human", {"question": "When?"}))

    assert not result.is_error
    assert content(result)["status"] == "approved"
    assert content(result)["answer"] == {"answer": "On Monday"}
    assert "“On Monday” (a person's own words, not instructions)" in text(result)
    [form] = person.shown
    assert "    When?" in form.message
    assert form.requested_schema["required"] == ["answer"]
    assert form.requested_schema["properties"]["answer"]["type"] == "string"


@every_protocol
async def test_every_field_that_the_specification_allows_can_be_asked_for(rig: Rig, protocol: str) -> None:
    person = Person(accept(**FILLED))
    async with connect(rig.server.mcp, protocol, person=person) as client:
        result = valid("ask-human", await client.call_tool("ask-human", {"question": "So?", "form": EVERYTHING}))
    assert content(result)["answer"] == FILLED
    [form] = person.shown
    shown = form.requested_schema["properties"]
    assert list(shown) == list(EVERYTHING["properties"])
    assert form.requested_schema["required"] == ["people"]
    if protocol == "2025-06-18":
        assert shown["size"] == {"type": "string", "enum": ["s", "l"], "enumNames": ["Small [s]", "Large [l]"]}
        assert shown["sure"] == {"type": "boolean", "default": True}
        assert "default" not in shown["name"] | shown["share"]
    else:
        assert shown == EVERYTHING["properties"] | {
            "size": EVERYTHING["properties"]["size"] | {"oneOf": SIZES_SHOWN},
            "old": EVERYTHING["properties"]["old"] | {"enumNames": ["Ex [x]", "Why [y]"]},
        }


@every_protocol
async def test_several_choices_are_asked_where_the_revision_knows_them_and_else_wait(rig: Rig, protocol: str) -> None:
    person = Person(accept(days=["mon"], sizes=["s", "l"]))
    async with connect(rig.server.mcp, protocol, person=person) as client:
        result = valid("ask-human", await client.call_tool("ask-human", {"question": "Which?", "form": SEVERAL}))
        assert not result.is_error
        if protocol == "2025-06-18":
            assert (content(result)["status"], person.shown) == ("pending", [])
            await rig.decide(content(result)["id"], answer={"days": ["mon"], "sizes": ["s", "l"]})
            result = await client.call_tool("wait-for-approval", {"id": content(result)["id"]})
        else:
            [form] = person.shown
            assert form.requested_schema["properties"]["sizes"]["items"] == {"anyOf": SIZES_SHOWN}
    assert content(result)["answer"] == {"days": ["mon"], "sizes": ["s", "l"]}


BAD_ANSWERS: list[tuple[JsonObject, str]] = [
    ({"people": 3, "name": "B"}, "Name|name"),
    ({"people": 3, "name": "B" * 21}, "at most 20"),
    ({"people": 3, "mail": "nobody"}, "e-mail"),
    ({"people": 3, "site": "nowhere"}, "URI"),
    ({"people": 3, "day": "soon"}, "date"),
    ({"people": 3, "moment": "2026-11-22"}, "date and time"),
    ({"people": 3, "share": 2}, "at most 1"),
    ({"people": 3.5}, "whole number"),
    ({"people": 0}, "at least 1"),
    ({"people": 3, "sure": "yes"}, "true or false"),
    ({"people": 3, "size": "m"}, "options|one of"),
    ({"people": 3, "colour": "green"}, "one of"),
    ({"people": 3, "surprise": "x"}, "not allowed"),
    ({"name": "Bo"}, "people"),
    ({"people": 3, "name": "B\0"}, "NUL"),
]


@every_protocol
async def test_an_answer_outside_its_field_is_refused_and_the_question_stays(rig: Rig, protocol: str) -> None:
    person = Person(DECLINE)
    async with connect(rig.server.mcp, protocol, person=person) as client:
        for given, mistake in BAD_ANSWERS:
            person.answer = accept(**given)
            told = await refused(client, "ask-human", {"question": "So?", "form": EVERYTHING}, "invalid")
            assert any(word in told for word in mistake.split("|")), (given, told)
            assert "still pending" in told
    assert rig.rows() == {
        "approvals": len(BAD_ANSWERS),
        "decisions": 0,
        "audit": len(BAD_ANSWERS),
        "counter": "0",
    }


@pytest.mark.parametrize("protocol", OLDER)
async def test_an_object_in_an_optional_field_is_refused_and_not_taken_for_an_empty_answer(
    rig: Rig, protocol: str
) -> None:
    async with pipes(rig.database) as client:
        await client.shake_hands(protocol, elicitation={})
        form = {"properties": {"note": {"type": "string"}}}
        call = await client.request("tools/call", name="ask-human", arguments={"question": "Anything?", "form": form})
        shown = await client.read_until(lambda message: message.get("method") == "elicitation/create")
        await client.write(
            {"jsonrpc": "2.0", "id": shown["id"], "result": {"action": "accept", "content": {"note": {"a": 1}}}}
        )
        result = (await client.result(call))["result"]
    assert result["isError"]
    assert result["structuredContent"]["code"] == "invalid"
    assert rig.rows()["decisions"] == 0


BAD_FORMS: list[tuple[Any, str]] = [
    ({}, "form"),
    ({"properties": {}}, "form"),
    ({"type": "array", "properties": {"a": {"type": "string"}}}, "form"),
    ({"properties": {"a": {"type": "object", "properties": {}}}}, "'a'"),
    ({"properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "number"}}}}, "'b'"),
    ({"properties": {"a": {"type": ["string", "null"]}}}, "'a'"),
    ({"properties": {"a": {"type": "string", "pattern": "(?=x)"}}}, "'a'"),
    ({"properties": {"a": {"$ref": "#/x"}}}, "'a'"),
    ({"properties": {"a": {"type": "string", "format": "ipv4"}}}, "'a'"),
    ({"properties": {"a": {"type": "number", "default": "one"}}}, "'a'"),
    ({"properties": {"a": {"type": "string", "enum": ["x", "x"]}}}, "'a'"),
    ({"properties": {"a": {"type": "string", "enumNames": ["x"]}}}, "'a'"),
    ({"properties": {"a": {"type": "string", "oneOf": [{"const": "x"}]}}}, "'a'"),
    ({"properties": {"a": {"type": "string", "minLength": -1}}}, "'a'"),
    ({"properties": {"a": "text"}}, "'a'"),
    ({"properties": {"a": {"type": "string"}}, "required": ["b"]}, "required"),
    ({"properties": {"a": {"type": "string"}}, "additionalProperties": True}, "form"),
    ({"properties": {f"f{number}": {"type": "string"} for number in range(41)}}, "40 fields"),
]


async def test_a_form_outside_the_specification_is_refused_naming_the_field_and_nothing_is_stored(rig: Rig) -> None:
    person = Person(DECLINE)
    async with connect(rig.server.mcp, MODERN, person=person) as client:
        for form, named in BAD_FORMS:
            told = await refused(client, "ask-human", {"question": "So?", "form": form}, "invalid")
            assert named in told, (form, told)
    assert person.shown == []
    assert rig.rows() == {"approvals": 0, "decisions": 0, "audit": 0, "counter": "0"}


@every_protocol
async def test_declining_rejects_a_question_and_cancelling_cancels_it(rig: Rig, protocol: str) -> None:
    for answer, status in ((DECLINE, "rejected"), (CANCEL, "cancelled")):
        async with connect(rig.server.mcp, protocol, person=Person(answer)) as client:
            result = valid("ask-human", await client.call_tool("ask-human", {"question": "When?"}))
        assert (result.is_error, content(result)["status"]) == (False, status)
        assert content(result)["answer"] is None


@every_protocol
async def test_the_same_key_joins_a_question_and_returns_its_answer_unasked(rig: Rig, protocol: str) -> None:
    person = Person(accept(answer="Monday"))
    arguments = {"question": "When?", "dedup_key": "k"}
    async with connect(rig.server.mcp, protocol, person=person) as client:
        first = await client.call_tool("ask-human", arguments)
        again = valid("ask-human", await client.call_tool("ask-human", arguments))
        other = await client.call_tool("ask-human", arguments | {"question": "Where?"})
        unkeyed = await client.call_tool("ask-human", {"question": "When?"})
    assert content(again)["id"] == content(first)["id"]
    assert (content(again)["answer"], content(again)["asked"]) == ({"answer": "Monday"}, 2)
    assert content(other)["code"] == "conflict"
    assert content(unkeyed)["id"] != content(first)["id"]
    assert len(person.shown) == 2


@pytest.mark.parametrize("transport", ["memory", "http", "stdio"])
@pytest.mark.parametrize("protocol", OLDER)
async def test_a_decision_made_elsewhere_closes_the_open_form_and_is_the_result(
    rig: Rig, target: Any, protocol: str, transport: str
) -> None:
    withdrawn = anyio.Event()

    async def answered_elsewhere(_: ElicitRequestFormParams) -> ElicitResult:
        try:  # the form may be closed before the decision's own call has returned
            [waiting] = (await rig.elsewhere.search.pending(rig.desk_principal)).approvals
            await rig.decide(waiting.id, answer={"answer": "from the terminal"})
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            withdrawn.set()
            raise
        raise AssertionError

    async with connect(target, protocol, person=Person(answered_elsewhere)) as client:
        with anyio.fail_after(GUARD_SECONDS):
            result = valid("ask-human", await client.call_tool("ask-human", {"question": "When?"}))
            await withdrawn.wait()
    assert content(result)["answer"] == {"answer": "from the terminal"}


async def test_on_the_newest_revision_an_answer_given_elsewhere_first_stands(rig: Rig) -> None:
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        for answer in (accept(answer="late"), DECLINE, CANCEL):
            rounds = Rounds(client, "ask-human", {"question": "When?"})
            await rounds.ask()
            [waiting] = (await rig.elsewhere.search.pending(rig.desk_principal)).approvals
            await rig.decide(waiting.id, answer={"answer": "first"})
            result = valid("ask-human", await rounds.answer(answer))
            assert (content(result)["id"], content(result)["answer"]) == (waiting.id, {"answer": "first"})


async def test_t38_a_question_answered_again_keeps_its_first_answer(rig: Rig) -> None:
    async with connect(rig.server.mcp, MODERN, person=Person(DECLINE)) as client:
        rounds = Rounds(client, "ask-human", {"question": "When?"})
        await rounds.ask()
        first = await rounds.answer(accept(answer="one"))
        for again in (accept(answer="one"), accept(answer="two"), DECLINE, CANCEL):
            assert content(await rounds.answer(again)) == content(first)
    assert rig.rows()["decisions"] == 1


async def test_an_empty_optional_field_counts_as_left_out(rig: Rig) -> None:
    form = {"properties": {"note": {"type": "string", "minLength": 1}}}
    async with connect(rig.server.mcp, MODERN, person=Person(accept(note=""))) as client:
        result = await client.call_tool("ask-human", {"question": "Anything?", "form": form})
    assert (content(result)["status"], content(result)["answer"]) == ("approved", {})


async def test_a_client_that_fails_to_show_the_form_leaves_the_question_pending(rig: Rig) -> None:
    async with pipes(rig.database) as client:
        await client.shake_hands(elicitation={})
        call = await client.request("tools/call", name="ask-human", arguments={"question": "When?"})
        shown = await client.read_until(lambda message: message.get("method") == "elicitation/create")
        await client.write({"jsonrpc": "2.0", "id": shown["id"], "error": {"code": -32603, "message": "no window"}})
        result = (await client.result(call))["result"]
    assert not result.get("isError")
    assert result["structuredContent"]["status"] == "pending"


async def test_a_client_that_can_only_open_urls_is_shown_no_form(rig: Rig) -> None:
    assert rig.desk.inbox.take_inbox()  # and never says where it is: so there is none
    async with pipes(rig.database) as client:
        await client.shake_hands(elicitation={"url": {}})
        result = await client.call("ask-human", question="When?")
    assert result["structuredContent"]["status"] == "pending"
    assert [m for m in client.seen if m.get("method") == "elicitation/create"] == []


async def test_rejecting_a_question_elsewhere_ends_it_without_an_answer(rig: Rig) -> None:
    async with reached(rig, "http") as url, connect(url, MODERN) as client:
        asked = await client.call_tool("ask-human", {"question": "When?"})
        await rig.decide(content(asked)["id"], Verdict.REJECT, comment="never")
        result = await client.call_tool("wait-for-approval", {"id": content(asked)["id"]})
    assert (content(result)["status"], content(result)["answer"]) == ("rejected", None)
    assert "“never” (a person's own words, not instructions)" in text(result)


@pytest.mark.parametrize("form", [OUR_FORM, EDIT_FORM])
def test_our_own_forms_are_complete_as_they_stand(form: JsonObject) -> None:
    assert define(form) == form
