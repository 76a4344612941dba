"""T25: over MCP too, nothing hides, and what stands beside right-to-left letters keeps its place."""

import json
from typing import cast

import pytest
from deceptive import EVERYTHING, deceptive
from mcp_types import TextContent, TextResourceContents
from server.rig import Rig
from wires import DECLINE, PROTOCOLS, Person, connect

from mcp_hitl.domain.policy import forms
from mcp_hitl.domain.policy.client_forms import OLDEST_PROTOCOL, for_client
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.present.warnings import MIXED

pytestmark = pytest.mark.anyio

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
TEXT = "\u05d0 11 22"
ISOLATED = "\u2067\u05d0\u2069 11 22"
LOOKS_ALIKE = "p\u0430ypal"
FORM: JsonObject = {
    "properties": {
        "\u05d1 33 44": {"type": "string", "description": f"About {TEXT}"},
        "named": {"type": "string", "title": f"The {TEXT}", "oneOf": [{"const": "x", "title": TEXT}]},
        "plain": {"type": "string", "enum": [TEXT, "as it is"]},
    }
}


@every_protocol
async def test_t25_resources_are_json_of_the_same_values_in_an_order_that_no_letter_changes(
    rig: Rig, protocol: str
) -> None:
    payload = {"to": TEXT, "\u05d2 55 66": [EVERYTHING], "bank": LOOKS_ALIKE, "name": "Иван"}
    one = await rig.opened(payload=payload, claim=f"Pay {TEXT} {EVERYTHING}"[:200])
    async with connect(rig.server.mcp, protocol) as client:
        for uri in (f"approvals://{one.id}", "approvals://pending", f"audit://{one.id}"):
            [found] = (await client.read_resource(uri)).contents
            assert isinstance(found, TextResourceContents)
            assert deceptive(found.text) == set() and "\u05d0" not in found.text and "\u2067" not in found.text, uri
            told = json.loads(found.text)
            if "audit" not in uri:
                assert told.get("approvals", [told])[0]["payload"] == payload
                assert '"Иван"' in found.text and '"p\\u0430ypal"' in found.text and '"\\u05d0 11 22"' in found.text


@every_protocol
async def test_t25_the_prompt_isolates_right_to_left_letters(rig: Rig, protocol: str) -> None:
    await rig.opened(claim=f"Pay {TEXT}")
    async with connect(rig.server.mcp, protocol) as client:
        [message] = (await client.get_prompt("review-pending")).messages
    assert isinstance(message.content, TextContent)
    assert f"Pay {ISOLATED}" in message.content.text and message.content.text.count("\u05d0") == 1


def read_of(value: object) -> list[str]:
    """The texts of a form that its person reads, but for the values that are sent and the names of fields."""
    if isinstance(value, dict):
        held = cast("JsonObject", value)
        return [text for name in held if name not in {"const", "enum", "required"} for text in read_of(held[name])]
    if isinstance(value, list):
        return [text for one in cast("list[object]", value) for text in read_of(one)]
    return [str(value)]


@every_protocol
async def test_t25_a_form_isolates_right_to_left_letters_wherever_they_are(rig: Rig, protocol: str) -> None:
    person = Person(DECLINE)
    async with connect(rig.server.mcp, protocol, person=person) as client:
        await client.call_tool("ask-human", {"question": f"Is {TEXT} right?", "form": FORM})
    [form] = person.shown
    assert f"Is {ISOLATED} right?" in form.message
    fields = form.requested_schema["properties"]
    assert list(fields) == list(FORM["properties"])
    assert fields["\u05d1 33 44"]["title"] == "\u2067\u05d1\u2069 33 44"
    plain = fields["plain"]
    titles = plain.get("enumNames") or [one["title"] for one in plain["oneOf"]]
    values = plain.get("enum") or [one["const"] for one in plain["oneOf"]]
    assert (values, titles) == ([TEXT, "as it is"], [ISOLATED, "as it is"])
    read = read_of(form.requested_schema)
    assert sum(text.count(ISOLATED) for text in read) == sum(text.count("\u05d0") for text in read) == 4


@every_protocol
async def test_t25_a_decision_is_asked_in_a_form_that_isolates_right_to_left_letters(rig: Rig, protocol: str) -> None:
    one = await rig.opened(payload={"to": TEXT, TEXT: 1}, claim=f"Pay {TEXT}")
    proposals = {
        "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd": True,
        f"Fine, {TEXT}": False,
        LOOKS_ALIKE: False,
        "Fine": True,
    }
    person = Person(DECLINE)
    async with connect(rig.server.mcp, protocol, person=person) as client:
        for proposed in proposals:
            await client.call_tool("approve", {"id": one.id, "comment": proposed})
    has_defaults = protocol != OLDEST_PROTOCOL
    for form, (proposed, prefilled) in zip(person.shown, proposals.items(), strict=True):
        assert form.message.count(ISOLATED) == form.message.count("\u05d0"), ascii(form.message)
        assert form.requested_schema["properties"]["comment"].get("default") == (
            proposed if prefilled and has_defaults else None
        )


def test_t25_several_choices_are_read_in_their_order_too() -> None:
    form = forms.define({"properties": {"some": {"type": "array", "items": {"type": "string", "enum": [TEXT, "b"]}}}})
    shown = for_client(form, PROTOCOLS[-1])
    assert shown is not None and shown["properties"]["some"]["items"] == {
        "anyOf": [{"const": TEXT, "title": ISOLATED}, {"const": "b", "title": "b"}]
    }
    assert forms.check_answer(form, {"some": [TEXT]}) == {"some": [TEXT]}


@every_protocol
async def test_t25_a_form_warns_of_words_that_mix_alphabets(rig: Rig, protocol: str) -> None:
    one = await rig.opened("expense", {"amount": 5, "currency": "EUR", "description": f"To {LOOKS_ALIKE}"})
    other = await rig.opened("expense", {"amount": 5, "currency": "EUR", "description": "Оплата, Ελλάδα, 支払い"})
    changed = {"amount": 5, "currency": "EUR", "description": f"For {LOOKS_ALIKE}"}
    person = Person(DECLINE)
    async with connect(rig.server.mcp, protocol, person=person) as client:
        for tool, arguments in (
            ("approve", {"id": one.id}),
            ("edit-approval", {"id": other.id, "payload": changed}),
            ("ask-human", {"question": f"Is {LOOKS_ALIKE} fine?"}),
            ("approve", {"id": other.id}),
            ("ask-human", {"question": "Можно?"}),
        ):
            await client.call_tool(tool, arguments)
    assert [MIXED in form.message for form in person.shown] == [True, True, True, False, False]
    assert all("p\\u0430ypal" in form.message and LOOKS_ALIKE not in form.message for form in person.shown[:3])
    assert "Оплата, Ελλάδα, 支払い" in person.shown[3].message


@pytest.mark.parametrize("titles", [("A", "\u0410"), ("Yes", "Yes "), ("a b", "a  b"), ("\u00e9", "e\u0301")])
def test_t25_choices_whose_titles_look_the_same_are_refused(titles: tuple[str, str]) -> None:
    options = [{"const": str(n), "title": title} for n, title in enumerate(titles)]
    with pytest.raises(Exception, match="different titles"):
        forms.define({"properties": {"one": {"type": "string", "oneOf": options}}})
